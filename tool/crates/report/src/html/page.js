"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// What needs this script is hidden until it runs.
all(".tools, .find").forEach((element) => { element.hidden = false; });

// The table: by name and by state.
const filter = document.querySelector(".filter");
const states = all(".tools button[data-state]");
const apply = () => {
  const word = filter.value.trim().toLowerCase();
  const wanted = states.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.state);
  all(".runs tbody tr, details.run").forEach((element) => {
    const named = element.dataset.name.toLowerCase().includes(word);
    element.hidden = !named || (wanted.length > 0 && !wanted.includes(element.dataset.state));
  });
};
if (filter) {
  filter.addEventListener("input", apply);
  states.forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    apply();
  }));
  const toggle = document.querySelector(".all");
  toggle.addEventListener("click", () => {
    const open = all("details.run").some((details) => !details.open);
    all("details.run").forEach((details) => { details.open = open; });
    toggle.textContent = open ? "Close all" : "Open all";
  });
}

// A link to an execution opens it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target) { target.hidden = false; target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", reveal);
reveal();

addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) {
    const field = filter || document.querySelector(".find");
    if (field) { event.preventDefault(); field.focus(); }
  }
});

// Search in texts: only lines that match are shown, built from text, never from markup.
all(".texts").forEach((texts) => {
  const field = texts.querySelector(".find");
  const parts = all("details.text", texts).map((details) => {
    const pre = details.querySelector("pre");
    return { details, pre, hits: details.querySelector(".hits"), open: details.open, whole: null };
  });
  const search = () => {
    const word = field.value.toLowerCase();
    parts.forEach((part) => {
      if (part.whole === null) {
        if (!word) return;
        part.whole = [...part.pre.childNodes];
        part.lines = part.pre.textContent.split("\n");
        part.open = part.details.open;
      }
      if (!word) {
        part.pre.replaceChildren(...part.whole);
        part.whole = null;
        part.hits.textContent = "";
        part.details.open = part.open;
        return;
      }
      const found = part.lines.filter((line) => line.toLowerCase().includes(word));
      const shown = document.createDocumentFragment();
      found.slice(0, 2000).forEach((line) => {
        const lower = line.toLowerCase();
        let from = 0;
        for (let at = lower.indexOf(word); at >= 0; at = lower.indexOf(word, from)) {
          const mark = document.createElement("mark");
          mark.textContent = line.slice(at, at + word.length);
          shown.append(line.slice(from, at), mark);
          from = at + word.length;
        }
        shown.append(line.slice(from) + "\n");
      });
      part.pre.replaceChildren(shown);
      const hits = found.length === 1 ? "1 hit" : `${found.length} hits`;
      part.hits.textContent = "cut" in part.details.dataset ? `${hits} in what is shown here` : hits;
      part.details.open = found.length > 0;
    });
  };
  let timer;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
});

// The time line: a cursor over all rows, and what each process variable was then.
all(".figure").forEach((figure) => {
  const total = Number(figure.dataset.total);
  const axis = figure.querySelector(".axis .plot");
  const now = figure.querySelector(".now");
  const rows = all(".row.pv", figure).map((row) => ({
    output: row.querySelector("output"),
    points: JSON.parse(row.querySelector(".plot").dataset.points),
  }));
  const changes = [...new Set(rows.flatMap((row) => row.points.map((point) => point[0])))].sort((a, b) => a - b);
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  figure.append(cursor);
  let time = null;
  const show = (at) => {
    time = at;
    cursor.hidden = at === null;
    now.textContent = at === null ? "" : `${at.toFixed(3)} s`;
    if (at !== null) {
      const box = axis.getBoundingClientRect();
      cursor.style.left = `${box.left - figure.getBoundingClientRect().left + (at / total) * box.width}px`;
    }
    rows.forEach(({ output, points }) => {
      if (at === null) { output.textContent = output.dataset.last; return; }
      let low = 0, high = points.length;
      while (low < high) { const mid = (low + high) >> 1; if (points[mid][0] <= at) low = mid + 1; else high = mid; }
      const point = points[low - 1];
      const gone = !point || at > point[1];
      output.textContent = gone ? "–" : point[2] + (point[3] ? ` ${point[3]}` : "");
    });
  };
  figure.addEventListener("pointermove", (event) => {
    const box = axis.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * total;
    show(at >= 0 && at <= total ? at : null);
  });
  figure.addEventListener("pointerleave", () => show(null));
  figure.addEventListener("keydown", (event) => {
    const from = time === null ? -1 : time;
    let at;
    if (event.key === "ArrowRight") at = changes.find((change) => change > from + 1e-9);
    else if (event.key === "ArrowLeft") at = changes.findLast((change) => change < (time === null ? Infinity : time - 1e-9));
    else if (event.key === "Escape") { show(null); return; }
    else return;
    event.preventDefault();
    if (at !== undefined) show(at);
  });
});
