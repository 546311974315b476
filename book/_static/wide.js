// Formulas that are wider than the page scroll inside themselves, by arrow keys, too: mark those of which something is out of sight.
document.addEventListener("DOMContentLoaded", () => {
  const check = (formula) => {
    formula.classList.toggle("tl-more", formula.scrollLeft + formula.clientWidth < formula.scrollWidth - 1);
    if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  };
  const sizes = new ResizeObserver((entries) => entries.forEach((entry) => check(entry.target.closest("mjx-container"))));
  const watch = (formula) => {
    sizes.observe(formula);
    formula.querySelectorAll("mjx-math").forEach((inside) => sizes.observe(inside));
  };
  addEventListener("scroll", (event) => event.target.matches?.("mjx-container") && check(event.target), { passive: true, capture: true });
  for (const box of document.querySelectorAll("div.math")) { // typeset later, when they come into view
    new MutationObserver(() => box.querySelectorAll("mjx-container").forEach(watch)).observe(box, { childList: true, subtree: true });
  }
});
