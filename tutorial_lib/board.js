(id => {
  for (const root of document.querySelectorAll(`.tl-board[data-id="${id}"]`)) {
    const form = root.querySelector(".tl-filter");
    if (!form || form.childElementCount) continue;
    const ours = !!document.querySelector("article.bd-article");  // the address is the book's own: state may stand in it
    const sections = [...root.querySelectorAll("section")];
    const rows = [...root.querySelectorAll("tr[data-data]")];
    const order = new Map([...root.querySelectorAll("article")].map((card, k) => [card, k]));
    const unique = name => [...new Set(rows.map(row => row.dataset[name]))];
    const fields = {
      paper: ["Paper", [["", "all papers"], ...sections.map(s => [s.dataset.paper, s.dataset.title])]],
      verdict: ["Verdict", [["", "all verdicts"], ...unique("verdict").map(v => [v, v])]],
      data: ["Data", [["", "all data"], ...unique("data").map(v => [v, v])]],
      sort: ["Order", [["", "as in the paper"], ["for", "clearest support first"], ["against", "clearest contradiction first"]]],
    };
    const inputs = {};
    for (const [name, [label, options]] of Object.entries(fields)) {
      const input = document.createElement("select");
      for (const [value, text] of options) input.add(new Option(text, value));
      input.id = `${id}-${name}`;  // a label around the menu would take its choices for a part of its name
      const box = document.createElement("div"), text = document.createElement("label");
      text.htmlFor = input.id;
      text.textContent = label;
      box.append(text, input);
      form.append(box);
      inputs[name] = input;
    }
    const reset = document.createElement("button");
    reset.type = "button";
    reset.textContent = "Show all";
    const told = document.createElement("output");
    told.setAttribute("aria-live", "polite");
    form.append(reset, told);
    form.hidden = false;

    const update = () => {
      const want = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value]));
      const shown = {};
      for (const section of sections) {
        const cards = [...section.querySelectorAll("article")];
        const key = new Map();
        for (const card of cards) {
          const found = [...card.querySelectorAll("tr[data-data]")].filter(row => {
            row.hidden = (want.verdict && row.dataset.verdict !== want.verdict) || (want.data && row.dataset.data !== want.data);
            return !row.hidden;
          });
          const here = !want.paper || section.dataset.paper === want.paper;
          card.hidden = !here || !found.length;
          if (!card.hidden) for (const row of found) shown[row.dataset.verdict] = (shown[row.dataset.verdict] || 0) + 1;
          const support = found.map(row => parseFloat(row.dataset.support)).filter(Number.isFinite);
          key.set(card, !support.length ? Infinity : want.sort === "for" ? -Math.max(...support) : Math.min(...support));
        }
        cards.sort((a, b) => (want.sort ? key.get(a) - key.get(b) : 0) || order.get(a) - order.get(b));
        section.append(...cards);
        section.hidden = cards.every(card => card.hidden);
      }
      const count = Object.values(shown).reduce((a, b) => a + b, 0), each = Object.entries(shown).map(([word, n]) => `${n} ${word}`);
      told.textContent = count ? `${count} of ${rows.length} verdicts: ${each.join(", ")}` : "no such verdict: show all, or choose another";
      if (!ours) return;
      const state = new URLSearchParams(Object.entries(want).filter(([, value]) => value)).toString();
      const kept = state ? "#" + state : location.hash.includes("=") ? " " : location.hash;
      if (kept !== location.hash) history.replaceState(null, "", kept.trim() || location.pathname + location.search);
    };
    const read = () => {
      const hash = decodeURIComponent(location.hash.slice(1));
      const card = hash && !hash.includes("=") && root.querySelector(`article[id="${CSS.escape(hash)}"]`);
      if (card) {
        for (const input of Object.values(inputs)) input.value = "";
        card.querySelector("details").open = true;
      } else if (hash.includes("=")) {
        const state = new URLSearchParams(location.hash.slice(1));
        for (const [name, input] of Object.entries(inputs)) {
          input.value = state.get(name) || "";
          if (input.selectedIndex < 0) input.value = "";
        }
      }
      update();
      if (card || hash.includes("=")) (card || form).scrollIntoView();
    };
    form.addEventListener("change", update);
    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("keydown", event => event.stopPropagation());
    reset.addEventListener("click", () => {
      for (const input of Object.values(inputs)) input.value = "";
      update();
    });
    if (ours) addEventListener("hashchange", read);
    if (ours) read();
    else update();
  }
})
