// What can be downloaded, in the formats of `clipdet detect --format` (FORMATS.md).
// Numbers come from the service as float32 with the fewest digits, and leave as they came;
// in COCO's format they are float64.

/** Native JSON: the object of one picture, or a list. records are {image, width, ...}. */
export function json(records) {
  const lead = (list) => list.map((item) => "  " + JSON.stringify(item)).join(",\n");
  const one = (r) => {
    const text = JSON.stringify({ ...r, detections: [] });
    if (!r.detections?.length) return r.error === undefined ? text : JSON.stringify(r);
    const [head, tail] = text.split('"detections":[]');
    return `${head}"detections":[\n${lead(r.detections)}]${tail}`;
  };
  return records.length === 1 ? one(records[0]) + "\n" : `[\n${records.map(one).join(",\n")}\n]\n`;
}

const columns = ["image", "query", "x0", "y0", "x1", "y1", "score", "cosine", "probability", "objectness", "phrase", "runner_up"];

/** CSV (RFC 4180, except that lines end with \n): a row for each detection. */
export function csv(records) {
  const cell = (value) => {
    const text = String(value);
    return /^\s|[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = [columns];
  for (const r of records) {
    for (const d of r.detections ?? []) {
      rows.push([r.image, d.query, ...d.box, d.score, d.cosine, d.probability, d.objectness, d.phrase, d.runner_up]);
    }
  }
  return rows.map((row) => row.map(cell).join(",") + "\n").join("");
}

/** A data set in COCO's form. Images and categories are numbered from 1 in their order. */
export function coco(records, names) {
  const categories = names.map((name, i) => ({ id: i + 1, name }));
  const ids = new Map(categories.map(({ id, name }) => [name, id]));
  const annotations = [], images = [];
  records.forEach((r, i) => {
    if (r.error !== undefined) return; // an image without annotations would say that nothing is in it
    images.push({ id: i + 1, file_name: r.image, width: r.width, height: r.height });
    for (const d of r.detections) {
      const [x0, y0, x1, y1] = d.box.map(Math.fround);
      annotations.push({
        id: annotations.length + 1, image_id: i + 1, category_id: ids.get(d.query),
        bbox: [x0, y0, x1 - x0, y1 - y0], area: (x1 - x0) * (y1 - y0), iscrowd: 0, score: Math.fround(d.score),
      });
    }
  });
  const list = (items) => (items.length ? `[\n${items.map((item) => JSON.stringify(item)).join(",\n")}\n]` : "[]");
  return `{"info":{"description":"Detections by clipdet"},\n"categories":${JSON.stringify(categories)},\n"annotations":${list(annotations)},\n"images":${list(images)}\n}\n`;
}
