"""The page in a real browser, with the real service and the built-in models."""

import base64
import json
import re
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from conftest import PATIENCE, PHOTOS, PROGRAM, SCENES

SCENE = SCENES / "scene-020.jpg"  # an owl and a camera among others
PHONE = {"viewport": {"width": 375, "height": 812}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
expect.set_options(timeout=PATIENCE)


def settled(page: Page) -> None:
    """Waits until every picture is matched with the names as they are."""
    page.wait_for_timeout(350)  # the page waits for the next letter
    page.wait_for_selector("body[aria-busy=false]", state="attached")


def choose(page: Page, *files) -> None:
    page.set_input_files("#files", list(files))
    settled(page)


def name(page: Page, *texts: str) -> None:
    for text in texts:
        page.fill("#new-name", text)
        page.press("#new-name", "Enter")
    settled(page)


def slide(page: Page, value: float) -> None:
    page.fill("#threshold", str(value))


def says(page: Page) -> list[str]:
    return page.locator("#names .says").all_text_contents()


def boxes(page: Page) -> int:
    return page.locator(".box").count()


def files_in_page(page: Page, *files: tuple[str, str, bytes]):
    """A DataTransfer with files (name, type, bytes), as a drop or the clipboard has it."""
    given = [[name, kind, base64.b64encode(data).decode()] for name, kind, data in files]
    return page.evaluate_handle(
        """(given) => {
          const transfer = new DataTransfer();
          for (const [name, type, text] of given) {
            transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, { type }));
          }
          return transfer;
        }""",
        given,
    )


def drop(page: Page, *files) -> None:
    transfer = files_in_page(page, *files)
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": transfer})
    settled(page)


def detected(*flags: str) -> str:
    """What the command says of the same."""
    return subprocess.run([PROGRAM, "detect", *flags], check=True, capture_output=True, text=True).stdout


def downloaded(page: Page, kind: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.click(f"[data-download={kind}]")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def alike(got, want, where=""):
    """Compares JSON; numbers may differ in their last digits, since the service has its own batches."""
    if isinstance(want, float) or (isinstance(got, float) and isinstance(want, int)):
        assert got == pytest.approx(want, rel=1e-4, abs=1e-5), where
    elif isinstance(want, dict):
        assert list(got) == list(want), where
        for key in want:
            alike(got[key], want[key], f"{where}.{key}")
    elif isinstance(want, list):
        assert len(got) == len(want), where
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            alike(g, w, f"{where}[{i}]")
    else:
        assert got == want, where


def accessible(page: Page) -> None:
    found = Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    assert found.violations_count == 0, found.generate_report()


# ---- what everybody does


def test_example_in_one_click(service, visit, shot):
    page, _ = visit(service.url)
    shot(page, "start")
    page.click("text=Try an example")
    settled(page)
    assert boxes(page) == 4
    assert all(text.startswith("1 box, best 0.") for text in says(page))
    page.hover(".box >> nth=0")
    parts = page.locator("#parts")
    for term in ("score", "probability", "objectness", "cosine", "nearest phrase", "runner-up"):
        expect(parts.get_by_text(term, exact=True)).to_be_visible()
    shot(page, "example")


def test_drop_two_and_type(service, visit):
    page, watch = visit(service.url)
    drop(page, ("a.jpg", "image/jpeg", SCENE.read_bytes()), ("b.jpg", "image/jpeg", (PHOTOS / "cat.jpg").read_bytes()))
    assert page.locator(".thumb").count() == 2
    assert "add a name" in page.text_content("#found-none")
    name(page, "owl", "camera")
    labels = page.locator(".thumb").evaluate_all("(all) => all.map((e) => e.ariaLabel)")
    assert [label.split(":")[0] for label in labels] == ["a.jpg", "b.jpg"]
    assert re.fullmatch(r"\d+ box(es)?, best 0\.\d\d", says(page)[0]), says(page)
    assert "owl" in page.locator(".tag").first.text_content()
    assert watch.asked("/v1/regions/") >= 2  # matches
    page.click(".thumb >> nth=1")
    settled(page)
    assert page.locator(".frame img").get_attribute("alt") == "b.jpg"


def test_paste(service, visit):
    page, _ = visit(service.url)
    transfer = files_in_page(page, ("image.png", "image/png", (SCENES.parent / "crops" / "picture.png").read_bytes()))
    page.evaluate(
        "(t) => dispatchEvent(new ClipboardEvent('paste', { clipboardData: t, bubbles: true, cancelable: true }))",
        transfer,
    )
    settled(page)
    assert page.get_attribute(".thumb", "aria-label").startswith("pasted-1.png")


def test_camera(service, visit, shot):
    page, _ = visit(service.url, permissions=["camera"])
    page.click("text=Use the camera")
    expect(page.locator("#shoot")).to_be_enabled()
    shot(page, "camera", whole=False)
    page.click("#shoot")
    expect(page.locator(".thumb")).to_have_count(1)
    settled(page)
    assert page.get_attribute(".thumb", "aria-label").startswith("camera-")
    assert not page.is_visible("#camera")


def test_names_and_threshold_act_at_once(service, visit):
    page, watch = visit(service.url)
    choose(page, SCENE)
    name(page, "owl, camera")
    encoded = [r for r in watch.requests if r.endswith("POST " + service.url + "v1/regions")]
    assert len(encoded) == 1
    before = len(watch.requests)

    # The threshold asks nothing of the service.
    counts = []
    for value in (0, 0.5, 0.9, 1):
        slide(page, value)
        counts.append(boxes(page))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] >= 1
    assert counts[3] == 0
    assert page.locator("#names [data-kind=missing]").count() == 2
    assert says(page)[0].startswith("not there, best 0.9")
    assert "Not there" in page.text_content("#found-none")
    assert len(watch.requests) == before

    # A changed name asks for a match, and no picture is sent again.
    slide(page, 0.75)
    page.fill("#names input >> nth=1", "bicycle=a bicycle|a racing bike")
    settled(page)
    assert set(page.locator(".found-name").all_text_contents()) == {"owl"}
    assert says(page)[1].startswith("not there")
    page.click("[aria-label='Remove owl']")
    settled(page)
    assert boxes(page) == 0
    assert watch.asked("POST " + service.url + "v1/regions/") >= 3
    assert sum(r == "POST " + service.url + "v1/regions" for r in watch.requests) == 1


def test_the_same_as_the_command(service, visit, tmp_path):
    page, _ = visit(service.url)
    texts = ["owl", "camera", "mug=a mug|a cup::2|-a glass"]
    choose(page, SCENE)
    name(page, *texts)
    slide(page, 0.3)
    page.select_option("#most", "3")
    flags = [*(x for text in texts for x in ("-q", text)), "--threshold", "0.3", "--top-k", "3", str(SCENE)]

    file, data = downloaded(page, "json")
    assert file == "scene-020.detections.json"
    got, want = json.loads(data), json.loads(detected(*flags))
    assert got.pop("timings_ms")
    want.pop("timings_ms")
    want["image"] = SCENE.name
    assert len(want["detections"]) >= 3
    alike(got, want)

    file, data = downloaded(page, "coco")
    assert file == "scene-020.detections.coco.json"
    want = json.loads(detected("--format", "coco", *flags))
    want["images"][0]["file_name"] = SCENE.name
    alike(json.loads(data), want)

    file, data = downloaded(page, "csv")
    assert file == "scene-020.detections.csv"
    got, want = data.decode().splitlines(), detected("--format", "csv", *flags).splitlines()
    assert got[0] == want[0]
    assert [row.split(",")[1] for row in got] == [row.split(",")[1] for row in want]

    # The same request by curl and by a program in Go.
    for kind in ("curl", "go"):
        page.click(f"[data-copy={kind}]")
        text = page.text_content("#snippet")
        if kind == "curl":
            said = subprocess.run(text, shell=True, cwd=SCENE.parent, capture_output=True, text=True)
        else:
            (tmp_path / "main.go").write_text(text)
            unformatted = subprocess.run(
                ["gofmt", "-l", tmp_path / "main.go"], check=True, capture_output=True, text=True
            )
            assert unformatted.stdout == ""
            subprocess.run(["go", "build", "-o", tmp_path / "ask", "main.go"], cwd=tmp_path, check=True)
            said = subprocess.run([tmp_path / "ask"], cwd=SCENE.parent, capture_output=True, text=True)
        answer = json.loads(said.stdout)
        alike(answer["detections"], json.loads(detected(*flags))["detections"], kind)


def test_several_pictures_in_one_file(service, visit):
    page, _ = visit(service.url)
    choose(page, SCENE, PHOTOS / "cat.jpg")
    name(page, "owl=an owl")
    page.fill("#names input", 'owl "x", y=an owl')
    settled(page)
    file, data = downloaded(page, "json")
    assert file == "detections.json"
    assert [r["image"] for r in json.loads(data)] == [SCENE.name, "cat.jpg"]
    assert json.loads(data)[0]["presence"][0]["query"] == 'owl "x", y'
    _, data = downloaded(page, "csv")
    assert '"owl ""x"", y"' in data.decode()
    page.click("[data-copy=curl]")
    text = page.text_content("#snippet")
    said = subprocess.run(text, shell=True, cwd=SCENE.parent, capture_output=True, text=True)
    assert "image=@" in text
    assert said.returncode != 0  # cat.jpg lies elsewhere


def test_drawn_picture(service, visit, shot):
    page, _ = visit(service.url)
    choose(page, SCENE)
    name(page, "owl", "camera")
    file, data = downloaded(page, "picture")
    assert file == "scene-020.detections.jpg"
    size, differing = page.evaluate(
        """async ([a, b]) => {
          const bitmaps = await Promise.all([a, b].map(async (text) =>
            createImageBitmap(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]))));
          const pixels = bitmaps.map((bitmap) => {
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height), context = canvas.getContext("2d");
            context.drawImage(bitmap, 0, 0);
            return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
          });
          let n = 0;
          for (let i = 0; i < pixels[0].length; i += 4) n += Math.abs(pixels[0][i] - pixels[1][i]) > 60;
          return [[bitmaps[0].width, bitmaps[0].height], n];
        }""",
        [base64.b64encode(data).decode(), base64.b64encode(SCENE.read_bytes()).decode()],
    )
    assert size == [640, 480]
    assert 500 < differing < 640 * 480 / 4  # frames and tags alone


def test_boxes_are_bright_after_the_threshold_moved(service, visit, shot):
    page, _ = visit(service.url)
    choose(page, SCENE)
    name(page, "owl", "camera")
    page.hover("#found button >> nth=0")
    page.mouse.move(1300, 10)
    page.focus("#threshold")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".box.picked").count() == 0
    expect(page.locator(".box >> nth=0")).to_have_css("opacity", "1")
    expect(page.locator(".tag >> nth=0")).to_have_css("opacity", "1")
    shot(page, "threshold-moved")


def test_several_names_at_once(service, visit):
    page, _ = visit(service.url)
    name(page, "owl, bike=a bicycle, red|a racing bike; cat, dog")
    fields = page.locator("#names input").evaluate_all("(e) => e.map((x) => x.value)")
    assert fields == ["owl", "bike=a bicycle, red|a racing bike", "cat", "dog"]


def test_proposals(service, visit, shot):
    page, _ = visit(service.url)
    choose(page, SCENE)
    assert page.locator(".proposals rect").count() == 0
    page.check("#proposals")
    count = page.locator(".proposals rect").count()
    assert count > 50
    assert page.text_content("#proposal-count") == f"({count})"
    shot(page, "proposals")


def test_view_is_in_the_address(service, visit):
    page, _ = visit(service.url + "#q=owl&q=mug%3Da+mug%7Ca+cup&threshold=0.5&top_k=3")
    assert page.locator("#names input").evaluate_all("(e) => e.map((x) => x.value)") == ["owl", "mug=a mug|a cup"]
    assert page.text_content("#threshold-value") == "0.50"
    name(page, "camera")
    expect(page).to_have_url(re.compile("#.*q=camera"))


def test_links_to_places_keep_the_view(service, visit):
    page, _ = visit(service.url + "#search")
    assert page.is_visible("#search")
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "search-names"
    assert page.is_visible("#search")
    page.click("nav >> text=Detect")
    page.check("#each")
    name(page, "owl")
    page.focus(".skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "names-title"
    assert page.is_checked("#each")
    expect(page).to_have_url(re.compile("#q=owl&.*scores=each"))
    page.evaluate("location.hash = 'found-title'")
    page.evaluate("location.hash = 'search'")
    expect(page.locator("#search")).to_be_visible()
    assert page.is_checked("#each")
    expect(page).to_have_url(re.compile("#q=owl&.*scores=each&view=search"))


# ---- errors, in plain words


def message(page: Page) -> str:
    expect(page.locator(".message").first).to_be_visible()
    return page.locator(".message").first.text_content()


def png(width: int, height: int) -> bytes:
    """A black picture; its lines are all the same."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    lines = zlib.compress(bytes(1 + (width + 7) // 8) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (("notes.txt", "text/plain", b"no picture at all"), "can't read this file"),
        (("cut.jpg", "image/jpeg", SCENE.read_bytes()[:3000]), "can't use this picture"),
        (("huge.png", "image/png", png(20_000, 10_000)), "more than the service takes"),
        (("empty.png", "image/png", b""), "empty"),
    ],
    ids=["415", "422", "413 by its pixels", "400"],
)
def test_pictures_that_cannot_be_used(service, visit, file, words):
    page, watch = visit(service.url)
    watch.expected = ("Failed to load resource",)
    drop(page, file, ("good.jpg", "image/jpeg", SCENE.read_bytes()))
    name(page, "owl")
    page.click(".thumb >> nth=0")
    assert words in message(page)
    assert file[0] in message(page)
    assert "Try again" not in message(page)
    page.click("text=Remove it")
    assert page.locator(".message").count() == 0
    settled(page)
    assert boxes(page) >= 1  # the good one is not lost


def test_too_many_bytes(service, visit, tmp_path):
    page, watch = visit(service.url)
    (tmp_path / "large.bmp").write_bytes(b"BM" + bytes(33 << 20))
    choose(page, tmp_path / "large.bmp")
    assert "more than the service takes: at most 32 MB" in message(page)
    assert not any(r.startswith("POST") for r in watch.requests)  # it isn't even sent


def test_names_that_cannot_be_used(service, visit):
    page, watch = visit(service.url)
    watch.expected = ("Failed to load resource",)
    choose(page, SCENE)
    name(page, "owl", "mug=a mug::heavy")
    wrong = page.locator("#names li >> nth=1")
    expect(wrong.locator(".says")).to_contain_text("heavy")
    assert wrong.locator("input").get_attribute("aria-invalid") == "true"
    page.fill("#names input >> nth=1", "mug=a mug::2")
    settled(page)
    assert wrong.locator("input").get_attribute("aria-invalid") is None
    assert boxes(page) >= 1
    name(page, "owl=a bird")
    assert says(page)[2] == "is in the list already"


@pytest.mark.parametrize(
    ("names", "wrong", "words"),
    [(["mug=|x", "a"], 0, "empty"), (["owl=a {}", "a"], 0, "{}"), (["a", "mug=x {}|y", "y"], 1, "{}")],
)
def test_the_wrong_name_is_told(service, visit, names, wrong, words):
    page, watch = visit(service.url)
    watch.expected = ("Failed to load resource",)
    choose(page, SCENE)
    name(page, *names)
    told = says(page)
    assert words in told[wrong]
    assert all(not text for i, text in enumerate(told) if i != wrong)


def test_token(serve, visit, tmp_path):
    (tmp_path / "token").write_text("open sésame €\n")
    service = serve("--token-file", str(tmp_path / "token"))
    page, watch = visit(service.url)
    watch.expected = ("Failed to load resource",)
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    expect(page.locator("#token-note")).to_contain_text("doesn't know that token")
    page.fill("#token", "öpen €")
    page.press("#token", "Enter")
    expect(page.locator("#token")).to_have_value("")
    expect(page.locator("#token-note")).to_contain_text("doesn't know that token")
    assert page.locator(".message").count() == 0
    page.fill("#token", "open sésame €")
    page.press("#token", "Enter")
    expect(page.locator("#service")).not_to_be_empty()
    choose(page, SCENE)
    name(page, "owl")
    assert boxes(page) >= 1
    page.click("[data-copy=curl]")
    assert "Bearer $CLIPDET_TOKEN" in page.text_content("#snippet")
    assert "sésame" not in page.text_content("#snippet")
    assert not page.is_visible("#models-link")  # it would show a problem


def test_busy_service_is_waited_for(serve, visit, shot):
    # The page sends two pictures at a time, and the service has one place.
    service = serve("--queue", "1")
    page, watch = visit(service.url)
    watch.expected = ("429",)
    statuses = []
    page.on("response", lambda response: statuses.append(response.status))
    page.set_input_files("#files", [SCENES / f"scene-0{n}.jpg" for n in ("02", "06", "09", "11")])
    expect(page.locator(".message[data-kind=busy]")).to_contain_text("too much to do")
    assert re.search(r"in \d+ s", page.text_content(".clock") or "in 0 s")
    shot(page, "busy", whole=False)
    name(page, "owl")
    expect(page.locator(".thumb[data-state=ready]")).to_have_count(4)
    settled(page)
    assert page.locator(".message").count() == 0
    assert 429 in statuses


def test_service_that_ends(serve, visit):
    service = serve("--grace", "25s")
    page, watch = visit(service.url)
    watch.expected = ("503",)
    choose(page, SCENE)
    # A request whose body is still on its way keeps the service from ending. It is under way
    # once the service has asked for the body.
    address = service.url.split("/")[2]
    host, port = address.split(":")
    head = (
        "POST /v1/regions HTTP/1.1",
        f"Host: {address}",
        "Content-Type: image/jpeg",
        "Content-Length: 100",
        "Expect: 100-continue",
    )
    with socket.create_connection((host, int(port)), 60) as slow:
        slow.sendall("\r\n".join((*head, "", "")).encode())
        assert b"100 Continue" in slow.recv(100)
        service.process.terminate()
        while status(service.url + "v1/models") != 503:
            time.sleep(0.05)
        page.fill("#new-name", "owl")
        page.press("#new-name", "Enter")
        assert "can't answer at the moment" in message(page)


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def test_service_that_goes_and_comes_back(serve, visit):
    service = serve()
    page, watch = visit(service.url)
    watch.expected = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "404")
    choose(page, SCENE)
    service.end()
    page.set_input_files("#files", [PHOTOS / "cat.jpg"])
    assert "can't be reached" in message(page)
    serve(port=int(service.url.rsplit(":", 1)[1].strip("/")))
    page.click("text=Try again")
    settled(page)
    # The new service knows neither picture's regions; the page sends them again.
    name(page, "cat")
    expect(page.locator(".message")).to_have_count(0)
    page.click(".thumb >> nth=0")
    settled(page)
    assert says(page)[0]
    assert page.locator(".thumb[data-state=ready]").count() == 2


def test_names_are_text(service, visit):
    page, _ = visit(service.url)
    drop(page, ("<img src=x onerror=alert(1)>.jpg", "image/jpeg", SCENE.read_bytes()))
    name(page, "<u>owl</u>", "camera")
    slide(page, 0)
    assert page.locator(".frame img").get_attribute("alt") == "<img src=x onerror=alert(1)>.jpg"
    assert page.locator("img[src=x], u").count() == 0
    assert "<u>owl</u>" in page.text_content("#found")


# ---- everybody can use it


def test_by_keyboard_alone(service, visit):
    page, _ = visit(service.url)

    def tab_to(selector: str, most: int = 60) -> None:
        for _ in range(most):
            page.keyboard.press("Tab")
            if page.evaluate("(s) => document.activeElement?.matches(s)", selector):
                shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert shown != "none", f"no focus is seen at {selector}"
                return
        raise AssertionError(f"Tab doesn't reach {selector}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the names"
    tab_to("[data-action=example]")
    page.keyboard.press("Enter")
    settled(page)
    tab_to("#stage .box")
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert first != second
    assert second.endswith("2 of 4")
    assert second.split(",")[0] in page.text_content("#parts")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").endswith("4 of 4")
    tab_to("#new-name")
    page.keyboard.type("flag")
    page.keyboard.press("Enter")
    settled(page)
    assert page.evaluate("document.activeElement.id") == "new-name"
    assert page.locator("#names li").count() == 5
    tab_to("#threshold")
    threshold = float(page.text_content("#threshold-value"))
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.text_content("#threshold-value") == f"{threshold + 0.05:.2f}"
    tab_to("[data-download=csv]")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_what_a_screen_reader_says(service, visit):
    page, _ = visit(service.url)
    choose(page, SCENE)
    name(page, "owl", "bicycle")
    expect(page.locator("#live")).to_have_text(
        re.compile(r"^scene-020\.jpg\. owl: \d+ box(es)?, best 0\.\d\d; bicycle: not there\.$")
    )
    assert page.locator("#live").get_attribute("role") == "status"
    box = page.get_by_role("button", name=re.compile(r"^owl, score 0\.\d\d, 1 of"))
    expect(box).to_have_count(1)
    expect(box).to_have_attribute("aria-describedby", "parts")
    expect(page.get_by_role("slider", name="Score at least")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe(service, visit, shot, scheme):
    page, _ = visit(service.url, color_scheme=scheme)
    accessible(page)
    choose(page, PHOTOS / "coffee.jpg", SCENE)
    name(page, "owl", "camera", "bicycle")
    page.click(".thumb >> nth=1")
    settled(page)
    page.focus(".box >> nth=0")
    page.click("summary")
    accessible(page)
    shot(page, f"used-{scheme}")


def test_phone(service, visit, shot):
    page, _ = visit(service.url, **PHONE)

    def fits() -> None:
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [375, 375]

    fits()
    shot(page, "phone-start")
    page.tap("text=Try an example")
    settled(page)
    fits()
    accessible(page)
    page.locator("#threshold").scroll_into_view_if_needed()
    frame, window = page.locator(".frame").bounding_box(), page.viewport_size
    assert frame["y"] >= -1, "the picture stays in sight"
    assert frame["height"] < window["height"] / 2
    slide(page, 0.87)
    shot(page, "phone-slider", whole=False)
    page.locator(".box >> nth=0").tap()
    assert "probability" in page.text_content("#parts")
    shot(page, "phone")


def turned(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF orientation."""
    tiff = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def test_twenty_megapixels_upright(service, visit, shot, tmp_path):
    page, _ = visit(service.url)
    # The scene, lying on its side in 5472 x 3648 pixels, as a phone held upright stores it.
    data = page.evaluate(
        """async (text) => {
          const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
          const canvas = new OffscreenCanvas(5472, 3648), context = canvas.getContext("2d");
          context.rotate(-Math.PI / 2);
          context.drawImage(bitmap, -3648, 0, 3648, 5472);
          const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
          const bytes = new Uint8Array(await blob.arrayBuffer());
          let binary = "";
          for (let i = 0; i < bytes.length; i += 32768) binary += String.fromCharCode(...bytes.subarray(i, i + 32768));
          return btoa(binary);
        }""",
        base64.b64encode(SCENE.read_bytes()).decode(),
    )
    (tmp_path / "large.jpg").write_bytes(turned(base64.b64decode(data), 6))
    begun = time.monotonic()
    page.set_input_files("#files", tmp_path / "large.jpg")
    expect(page.locator(".frame img")).to_be_visible()
    print(f"20 megapixels are shown after {time.monotonic() - begun:.1f} s")
    settled(page)
    name(page, "owl", "camera")
    size = page.locator(".frame img").evaluate("(e) => e.decode().then(() => [e.naturalWidth, e.naturalHeight])")
    assert size == [1707, 2560]
    _, got = downloaded(page, "json")
    assert (json.loads(got)["width"], json.loads(got)["height"]) == (3648, 5472)
    # The owl is at the lower left of the scene, and so it is on the page.
    owl = next(d for d in json.loads(got)["detections"] if d["query"] == "owl")
    frame, box = page.locator(".frame").bounding_box(), page.locator(".box[aria-label^=owl]").first.bounding_box()
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(owl["box"][0] / 3648, abs=0.01)
    assert (box["y"] - frame["y"]) / frame["height"] == pytest.approx(owl["box"][1] / 5472, abs=0.01)
    assert box["x"] - frame["x"] < frame["width"] / 3
    assert box["y"] - frame["y"] > frame["height"] / 2
    shot(page, "large")
    _, drawn = downloaded(page, "picture")
    ratio = page.evaluate(
        """async (text) => {
          const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
          return bitmap.height / bitmap.width;
        }""",
        base64.b64encode(drawn).decode(),
    )
    assert ratio == pytest.approx(1.5, abs=0.01)


# ---- search


def test_search(service, visit, shot):
    page, _ = visit(service.url)
    page.click("nav >> text=Search")
    assert re.search(r"6 pictures, \d+ regions", page.text_content("#index-size"))
    accessible(page)
    page.fill("#search-names", "owl, camera")
    page.press("#search-names", "Enter")
    expect(page.locator("#hits h3")).to_have_count(2)
    assert "scene-020.jpg" in page.locator(".hit-path").first.text_content()
    assert page.locator(".hit").count() <= 12
    shot(page, "search")
    page.fill("#search-names", page.get_attribute("#search-names", "placeholder"))
    page.press("#search-names", "Enter")
    expect(page.locator("#hits h3 >> nth=1")).to_contain_text("bike")
    assert page.locator("#hits h3").count() == 2
    page.fill("#search-names", "owl, camera")
    page.press("#search-names", "Enter")
    expect(page.locator("#hits h3 >> nth=1")).to_contain_text("camera")
    page.set_input_files("#folder", SCENES)
    expect(page.locator(".hit img").first).to_be_visible()
    expect(page.locator("#folder-note")).to_contain_text("12 of 12")
    accessible(page)
    shot(page, "search-pictures")
    expect(page).to_have_url(re.compile("#.*view=search"))


def test_hits_are_shown_on_what_was_indexed(serve, visit, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "side.jpg").write_bytes(turned(SCENE.read_bytes(), 6))
    for flags, shown in ((), 1), (("--ignore-exif",), 0):
        index = tmp_path / f"index-{shown}"
        subprocess.run([PROGRAM, "index", "--out", index, *flags, pictures], check=True, capture_output=True)
        page, _ = visit(serve("--index", str(index)).url + "#search")
        page.fill("#search-names", "owl")
        page.press("#search-names", "Enter")
        expect(page.locator(".hit")).to_have_count(1)
        page.set_input_files("#folder", pictures)
        expect(page.locator("#folder-note")).to_contain_text("1 of 1")
        page.wait_for_timeout(500)
        expect(page.locator(".hit img")).to_have_count(shown)


def test_without_an_index_there_is_no_search(serve, visit):
    page, _ = visit(serve().url)
    assert not page.is_visible("nav")
