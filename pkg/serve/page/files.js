// How pictures come in: chosen, dropped or pasted.

import { byId } from "./elements.js";

/** The files of a drop, those in folders too. */
async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files = [];
  const walk = async (entry, within) => {
    if (entry instanceof File) files.push(entry);
    else if (entry?.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (!within || file.type.startsWith("image/")) files.push(file);
    } else if (entry?.isDirectory) {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
        if (!some.length) break;
        for (const one of some) await walk(one, true);
      }
    }
  };
  for (const entry of entries) await walk(entry, false);
  return files;
}

/** Calls takes with a list of files whenever there are some, and returns the function that lets choose some. */
export function files(takes) {
  const input = byId("files"), cover = byId("drop");
  input.addEventListener("change", () => {
    takes([...input.files]);
    input.value = ""; // the same file may be chosen again
  });
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0; // the pointer enters and leaves each element on its way
  const over = (by) => {
    depth = by ? Math.max(0, depth + by) : 0;
    cover.classList.toggle("open", depth > 0);
  };
  addEventListener("dragenter", (event) => hasFiles(event) && over(1));
  addEventListener("dragleave", (event) => hasFiles(event) && over(-1));
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over(0);
    takes(await dropped(event.dataTransfer));
  });
  let pasted = 0;
  addEventListener("paste", (event) => {
    const images = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    if (!images.length) return;
    event.preventDefault();
    // A browser calls every picture of the clipboard image.png.
    takes(images.map((file) => (file.name === "image.png" ? new File([file], `pasted-${++pasted}.png`, { type: file.type }) : file)));
  });
  return () => input.click();
}
