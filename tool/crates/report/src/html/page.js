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

// The time line: what part of it is shown, a cursor over all rows, and what each process variable was then.
all(".figure").forEach((figure) => {
  const total = Number(figure.dataset.total);
  const axis = figure.querySelector(".axis .plot");
  const now = figure.querySelector(".now");
  const rows = all(".row.pv", figure).map((row) => ({
    row,
    output: row.querySelector("output"),
    points: JSON.parse(row.querySelector(".plot").dataset.points),
  }));
  const changes = [...new Set(rows.flatMap((row) => row.points.map((point) => point[0])))].sort((a, b) => a - b);
  const cursor = document.createElement("div");
  cursor.className = "cursor";
  cursor.hidden = true;
  figure.append(cursor);

  // Lines of journals with their times, which stand before them.
  const journals = all("details.text pre", figure.parentElement);
  const marked = () => all("details.text pre .moment", figure.parentElement);
  const toJournal = (at) => {
    marked().forEach((mark) => mark.replaceWith(mark.textContent));
    journals.forEach((pre) => {
      pre.normalize();
      let best = null;
      const walk = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT);
      for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        const lines = /^ *(\d+\.\d{3})  .*$/gm;
        for (let line = lines.exec(node.data); line; line = lines.exec(node.data)) {
          if (Number(line[1]) <= at) best = { node, from: line.index, length: line[0].length };
        }
      }
      if (!best) return;
      const rest = best.node.splitText(best.from);
      rest.splitText(best.length);
      const mark = document.createElement("span");
      mark.className = "moment";
      rest.replaceWith(mark);
      mark.append(rest);
      pre.scrollTop = mark.offsetTop - pre.offsetTop - pre.clientHeight / 2;
    });
  };

  // The part that is shown: the plots' children stand in percent of the whole, so each plot has an inner box that is wider.
  let from = 0, to = total;
  const inner = all(".plot", figure).map((plot) => {
    const box = document.createElement("div");
    box.className = "inner";
    box.append(...plot.childNodes);
    all(".high, .low", box).forEach((label) => plot.append(label));
    plot.append(box);
    return box;
  });
  const scale = axis.querySelector(".inner");
  const ticks = () => {
    const rough = (to - from) / 6, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough);
    const all = [];
    for (let n = Math.ceil(from / step); n * step < to - (to - from) * 0.04; n++) {
      const tick = document.createElement("i"), label = document.createElement("b");
      tick.className = "tick";
      tick.style.left = `${((n * step) / total) * 100}%`;
      label.textContent = `${Number((n * step).toFixed(4))} s`;
      tick.append(label);
      all.push(tick);
    }
    scale.replaceChildren(...all);
  };
  const whole = figure.parentElement.querySelector(".whole");
  const view = (start, end) => {
    const span = Math.min(Math.max(end - start, total / 2000), total);
    from = Math.min(Math.max(start, 0), total - span);
    to = from + span;
    inner.forEach((box) => {
      box.style.width = `${(total / span) * 100}%`;
      box.style.left = `${(-from / span) * 100}%`;
    });
    figure.classList.toggle("zoomed", span < total);
    ticks();
    whole.disabled = span === total;
    show(time);
  };
  const zoom = (factor, around) => {
    const at = around ?? (from + to) / 2;
    view(at - (at - from) * factor, at + (to - at) * factor);
  };

  let time = null, held = false;
  const show = (at) => {
    time = at;
    cursor.hidden = at === null || at < from || at > to;
    now.textContent = at === null ? "" : `${at.toFixed(3)} s`;
    if (at !== null) {
      const box = axis.getBoundingClientRect();
      cursor.style.left = `${box.left - figure.getBoundingClientRect().left + ((at - from) / (to - from)) * box.width}px`;
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
  const under = (event) => {
    const box = axis.getBoundingClientRect();
    const at = from + ((event.clientX - box.left) / box.width) * (to - from);
    return at >= from && at <= to ? at : null;
  };
  addEventListener("resize", () => show(time));
  let drag = null;
  figure.addEventListener("pointerdown", (event) => {
    const at = under(event);
    if (at !== null && event.button === 0) drag = { x: event.clientX, from, to, moved: false };
  });
  figure.addEventListener("pointermove", (event) => {
    if (drag && event.buttons === 1 && to - from < total) {
      const by = ((event.clientX - drag.x) / axis.getBoundingClientRect().width) * (drag.to - drag.from);
      if (Math.abs(event.clientX - drag.x) > 4) drag.moved = true;
      if (drag.moved) view(drag.from - by, drag.to - by);
    }
    if (!held) show(under(event));
  });
  figure.addEventListener("pointerup", (event) => {
    const at = under(event);
    if (drag && !drag.moved && at !== null) { held = true; show(at); toJournal(at); }
    drag = null;
  });
  figure.addEventListener("pointerleave", () => { drag = null; if (!held) show(null); });
  figure.addEventListener("wheel", (event) => {
    const at = under(event);
    if (at === null || !(event.ctrlKey || event.altKey)) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, at);
  }, { passive: false });
  // A journal's line brings the cursor to its time.
  journals.forEach((pre) => pre.addEventListener("dblclick", () => {
    const choice = getSelection();
    const range = document.createRange();
    range.setStart(pre, 0);
    range.setEnd(choice.anchorNode, choice.anchorOffset);
    const before = range.toString();
    const start = before.lastIndexOf("\n") + 1;
    const line = /^ *(\d+\.\d{3})  /.exec(pre.textContent.slice(start));
    if (!line) return;
    const at = Number(line[1]);
    if (at < from || at > to) view(at - (to - from) / 2, at + (to - from) / 2);
    held = true;
    show(at);
    figure.scrollIntoView({ block: "nearest" });
  }));
  const act = {
    "+": () => zoom(0.5, time), "-": () => zoom(2, time), "0": () => view(0, total),
    "<": () => view(from - (to - from) / 4, to - (to - from) / 4), ">": () => view(from + (to - from) / 4, to + (to - from) / 4),
  };
  figure.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const last = time === null ? -1 : time;
    let at;
    if (event.key === "ArrowRight") at = changes.find((change) => change > last + 1e-9);
    else if (event.key === "ArrowLeft") at = changes.findLast((change) => change < (time === null ? Infinity : time - 1e-9));
    else if (event.key === "Escape") { held = false; show(null); return; }
    else if (event.key === "Enter" && time !== null) { toJournal(time); return; }
    else if (act[event.key === "=" ? "+" : event.key]) { event.preventDefault(); act[event.key === "=" ? "+" : event.key](); return; }
    else return;
    event.preventDefault();
    if (at === undefined) return;
    held = true;
    if (at < from || at > to) view(at - (to - from) / 2, at + (to - from) / 2);
    show(at);
  });

  // Which process variables are drawn: by a part of the name, and one by one.
  const bar = figure.parentElement.querySelector(".timetools");
  bar.hidden = false;
  all("button[data-zoom]", bar).forEach((button) => button.addEventListener("click", () => act[button.dataset.zoom]()));
  const word = bar.querySelector(".pvs");
  const picked = all("input[type=checkbox]", bar);
  const pick = () => rows.forEach(({ row }, i) => {
    row.hidden = !row.dataset.pv.toLowerCase().includes(word.value.trim().toLowerCase()) || !picked[i].checked;
  });
  if (word) [word, ...picked].forEach((input) => input.addEventListener("input", pick));
  view(0, total);
});
