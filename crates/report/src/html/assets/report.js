(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
  root.classList.add("js");

  // Theme: as the system says until the reader says otherwise.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => { try { return localStorage.getItem("microtome-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  if (kept()) root.dataset.theme = kept() === "dark" ? "dark" : "light";
  const theme = make("button", { type: "button" });
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.ariaLabel = `Switch to ${isDark() ? "light" : "dark"} colours`; };
  theme.onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("microtome-theme", root.dataset.theme); } catch { /* a page opened from a file may have no storage */ }
    label();
  };
  dark.addEventListener("change", label);
  label();
  document.querySelector("header").append(theme);

  // Notes on points: the SVG title says the same to those without scripts.
  const tip = make("div", { className: "tip", hidden: true });
  document.body.append(tip);
  const notes = new WeakMap();
  for (const point of all("g.pt")) {
    const title = point.querySelector("title");
    notes.set(point, title.textContent);
    title.remove();
  }
  document.addEventListener("pointermove", (event) => {
    const point = event.target.closest?.("g.pt");
    tip.hidden = !point;
    if (!point) return;
    tip.textContent = notes.get(point);
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY - box.height - 12 < 8 ? event.clientY + 18 : event.clientY - box.height - 12}px`;
  });
  document.addEventListener("pointerleave", () => { tip.hidden = true; });

  // Sorting: numbers by value, words by alphabet, empty cells last either way.
  const order = new Intl.Collator("en", { numeric: true });
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.classList.contains("num") ? null : cell.textContent || null;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : order.compare(String(a), String(b)));
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      const button = make("button", { type: "button", textContent: head.textContent });
      head.classList.add("sort");
      head.replaceChildren(button);
      button.onclick = () => {
        const down = head.ariaSort === "ascending";
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.ariaSort = down ? "descending" : "ascending";
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : compare(a, b) * (down ? -1 : 1)));
        body.append(...rows.map(([, row]) => row));
      };
    });
  }

  // Paper cannot be unfolded: tables print whole, and fold again afterwards.
  let unfolded = [];
  addEventListener("beforeprint", () => {
    unfolded = all(".block details:not([open])");
    unfolded.forEach((box) => { box.open = true; });
  });
  addEventListener("afterprint", () => { unfolded.forEach((box) => { box.open = false; }); });

  // Filter: every word must occur in the row.
  for (const input of all(".filter input")) {
    const box = input.closest("details");
    const rows = [...box.querySelector("tbody").rows].map((row) => [row, row.textContent.toLowerCase()]);
    const said = box.querySelector("output");
    input.oninput = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      said.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    };
  }

  // Copy.
  for (const box of all(".copyable")) {
    const text = box.querySelector("pre");
    const button = make("button", { type: "button", textContent: "Copy", ariaLabel: `Copy the ${box.dataset.what}` });
    button.onclick = async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Press Ctrl+C";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    };
    box.append(button);
  }

  // Categories: pointing at one dims the others.
  for (const item of all(".categories li")) {
    const figure = item.closest("figure");
    const dim = (key) => all(".points path", figure).forEach((path) => path.classList.toggle("off", key !== null && !path.classList.contains(key)));
    item.onpointerenter = () => dim(item.dataset.key);
    item.onpointerleave = () => dim(null);
  }

  // Save a figure as a file of its own, with its styles written into it.
  const kinds = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "fill-opacity", "paint-order", "text-anchor", "font-family", "font-size", "font-weight", "font-style"];
  for (const svg of all("svg.only-wide, svg.cells")) {
    const button = make("button", { type: "button", className: "save", textContent: "Save SVG" });
    button.onclick = () => {
      const copy = svg.cloneNode(true);
      // Figures are saved for paper, whatever the screen shows.
      const shown = root.dataset.theme;
      root.dataset.theme = "light";
      const from = [svg, ...all("*", svg)];
      [copy, ...all("*", copy)].forEach((node, i) => {
        const style = getComputedStyle(from[i]);
        for (const kind of kinds) node.setAttribute(kind, style.getPropertyValue(kind));
      });
      if (shown) root.dataset.theme = shown; else delete root.dataset.theme;
      all(".hit", copy).forEach((node) => node.remove());
      copy.setAttribute("width", svg.viewBox.baseVal.width);
      copy.setAttribute("height", svg.viewBox.baseVal.height);
      const file = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
      const link = make("a", { href: URL.createObjectURL(file), download: "figure.svg" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    };
    svg.closest("figure").querySelector("figcaption").prepend(button);
  }
})();
