"""Measure the built pages: python book/page_times.py writes book/page_times.csv, which the colophon shows.

For every page: what it loads, as files and as a web server would send them (text compressed), and the time until it
answers the reader's hand, read from disk, at the processor's own speed and slowed four times. A page answers when it is
loaded and then, for half a second, no task takes 50 ms. Medians of three; run it on an idle machine.
"""

import csv
import gzip
import platform
import shutil
import statistics
import sys
from datetime import date
from pathlib import Path
from urllib.parse import unquote, urlparse

from tutorial_lib.workers import device_name

ROOT = Path(__file__).parent.parent
HTML = ROOT / "_build" / "html"
TABLE = ROOT / "book" / "page_times.csv"
PACKED = {".woff", ".woff2", ".png", ".jpg"}
"""What is compressed already."""
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.startTime + task.duration);
}).observe({ type: "longtask", buffered: true });
"""
ANSWERS = """async () => {
  const loaded = performance.getEntriesByType("navigation")[0];
  while (!loaded.loadEventEnd || performance.now() - Math.max(loaded.loadEventEnd, window.longest) < 500) {
    await new Promise((go) => setTimeout(go, 20));
  }
  return Math.max(loaded.loadEventEnd, window.longest) / 1000;
}"""


def pages() -> list[str]:
    """The book's pages, by their paths without ending, those that were built from its sources."""
    built = [path.relative_to(HTML).with_suffix("").as_posix() for path in sorted(HTML.rglob("*.html"))]
    return [name for name in built if any((ROOT / name).with_suffix(e).exists() for e in (".md", ".ipynb"))]


def weight(urls) -> tuple[float, float]:
    """Kilobytes of the files behind file:// addresses: as they are, and as a server would send them."""
    files = {Path(unquote(urlparse(url).path)) for url in urls if url.startswith("file:")}
    content = {file: file.read_bytes() for file in files if file.is_file()}
    sent = [len(text) if file.suffix in PACKED else len(gzip.compress(text, 6)) for file, text in content.items()]
    return sum(map(len, content.values())) / 1000, sum(sent) / 1000


def visit(browser, name: str, slowed: int) -> tuple[float, list[str]]:
    """Seconds until a page answers, and what it asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(WATCH)
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slowed})
        page.goto((HTML / f"{name}.html").as_uri())
        return page.evaluate(ANSWERS), asked
    finally:
        context.close()


def main() -> int:
    from playwright.sync_api import sync_playwright

    chromium = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if chromium is None or not (HTML / "index.html").exists():
        print("needs Chromium and the built book (make book)", file=sys.stderr)
        return 2
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in pages():
            files, sent = weight(visit(browser, name, 1)[1])
            times = [statistics.median(visit(browser, name, slowed)[0] for _ in range(3)) for slowed in (1, 4)]
            rows.append([name, f"{files:.0f}", f"{sent:.0f}", *(f"{seconds:.2f}" for seconds in times)])
            print(*rows[-1])
        cores = device_name("cpu").removeprefix("CPU, ")
        machine = f"{platform.system()}, {cores}, Chromium {browser.version.split('.')[0]}, headless, {date.today()}"
        browser.close()
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["page", "kB in files", "kB as sent", "s until it answers", "s, processor slowed 4 times", "machine"]
        )
        writer.writerows([*row, machine] for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
