// Formulas and tables that are wider than the page scroll inside themselves, by arrow keys, too: mark those of which something is out of sight.
document.addEventListener("DOMContentLoaded", () => {
  const TABLES = ".pst-scrollable-table-container, div.cell_output .text_html:not(:has(.tl-explorer, .tl-board))";
  const check = (box) => {
    box.classList.toggle("tl-more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => check(entry.target.closest(`mjx-container, ${TABLES}`))));
  const watch = (box) => [box, ...box.querySelectorAll("mjx-math, table")].forEach((part) => sizes.observe(part));
  addEventListener("scroll", (event) => event.target.matches?.(`mjx-container, ${TABLES}`) && check(event.target), { passive: true, capture: true });
  document.querySelectorAll(TABLES).forEach(watch);
  for (const box of document.querySelectorAll("div.math")) { // typeset later, when they come into view
    new MutationObserver(() => box.querySelectorAll("mjx-container").forEach(watch)).observe(box, { childList: true, subtree: true });
  }
});
