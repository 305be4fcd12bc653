"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  document.documentElement.classList.add("js");

  const make = (name, attributes, parent) => {
    const one = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    parent.append(one);
    return one;
  };

  const steps = [1, 2, 2.5, 5, 10];

  /* Round numbers along an axis, as xanesml/page/ticks.py finds them. */
  const ticks = (low, high, log, most) => {
    if (log) {
      const found = [];
      const factors = high - low <= 1 ? [1, 1.5, 2, 3, 4, 5, 7] : high - low <= 3 ? [1, 2, 5] : [1];
      for (let power = Math.floor(low); power <= Math.ceil(high); power += 1)
        for (const factor of factors) {
          const place = power + Math.log10(factor);
          if (place >= low && place <= high) found.push([place, factor * 10 ** power]);
        }
      if (found.length > 1) return found.map(([place, value]) => [place, text(value, value)]);
    }
    const raw = (high - low) / (most - 1);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * steps.find((factor) => power * factor >= raw * (1 - 1e-9));
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1)
      found.push([n * step, log ? text(10 ** (n * step), 10 ** (n * step) / 10) : text(n * step, step)]);
    return found;
  };

  const text = (value, step) => {
    if (value === 0) return "0";
    if (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4) return value.toPrecision(3).replace("-", "−");
    let decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    if (Math.abs(Number(value.toFixed(decimals)) - value) > 1e-3 * step) decimals += 1;
    return value.toFixed(Math.min(decimals, 12)).replace("-", "−");
  };

  const short = (value) => (value === 0 ? "0" : Number(value.toPrecision(5)).toString().replace("-", "−"));

  class Chart {
    constructor(svg) {
      this.svg = svg;
      this.plot = svg.querySelector(".plot");
      this.box = this.plot.getAttribute("viewBox").split(" ").map(Number);
      this.view = [...this.box];
      this.readout = document.getElementById(`${svg.id}-readout`);
      this.axes = ["x", "y"].map((axis) => {
        const [low, high, log] = svg.dataset[axis].split(",").map(Number);
        return { low: log ? Math.log10(low) : low, high: log ? Math.log10(high) : high, log };
      });
this.names = svg.dataset.names ? svg.dataset.names.split("|") : null;
      this.marks = [...svg.querySelectorAll("path[data-label]")]
        .map((path) => ({
          path,
          label: path.dataset.label,
          points: [...path.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)].map((one) => [Number(one[1]), Number(one[2])]),
        }))
        .filter((mark) => mark.points.length > 0);
      this.at = null;
      this.listen();
    }

    /* A value at a place in the drawing, and the place of a value. */
    value(axis, place) {
      const [x, y, width, height] = this.box;
      const share = axis === 0 ? (place - x) / width : 1 - (place - y) / height;
      const { low, high, log } = this.axes[axis];
      const value = low + share * (high - low);
      return log ? 10 ** value : value;
    }

    /* A value as text, with the decimals that the drawing, of tenths of a unit, is good for. */
    told(axis, place) {
      const value = this.value(axis, place);
      if (axis === 0 && this.names) return this.names[Math.round(value)];
      const next = Math.abs(this.value(axis, place + 0.3) - value);
      return value.toFixed(Math.min(Math.max(0, -Math.floor(Math.log10(next))), 12)).replace(/^-(?=0(?:\.0*)?$)/, "").replace("-", "−");
    }

    placeOfX(value) {
      const { low, high, log } = this.axes[0];
      return this.box[0] + (((log ? Math.log10(value) : value) - low) / (high - low)) * this.box[2];
    }

    /* From the drawing at rest to the drawing as it is zoomed, and back. */
    shown([x, y]) {
      const [left, top, width, height] = this.box;
      return [left + ((x - this.view[0]) / this.view[2]) * width, top + ((y - this.view[1]) / this.view[3]) * height];
    }

    rest([x, y]) {
      const [left, top, width, height] = this.box;
      return [this.view[0] + ((x - left) / width) * this.view[2], this.view[1] + ((y - top) / height) * this.view[3]];
    }

    pointer(event) {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
      return [place.x, place.y];
    }

    inside([x, y]) {
      const [left, top, width, height] = this.box;
      return x >= left && x <= left + width && y >= top && y <= top + height;
    }

    listen() {
      this.svg.addEventListener("pointermove", (event) => {
        const place = this.pointer(event);
        if (this.from) this.select(place);
        else if (this.inside(place)) this.read(this.nearest(place));
      });
      this.svg.addEventListener("pointerleave", () => !this.from && this.read(null));
      this.svg.addEventListener("pointerdown", (event) => {
        const place = this.pointer(event);
        if (event.button === 0 && event.pointerType === "mouse" && this.inside(place)) {
          this.from = place;
          this.svg.setPointerCapture(event.pointerId);
        }
      });
      this.svg.addEventListener("pointerup", (event) => this.release(this.pointer(event)));
      this.svg.addEventListener("pointercancel", () => this.release(null));
      this.svg.addEventListener("dblclick", () => this.zoom("whole"));
      this.svg.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const done = { ArrowLeft: () => this.step(0, -1), ArrowRight: () => this.step(0, 1), ArrowUp: () => this.step(-1, 0), ArrowDown: () => this.step(1, 0), "+": () => this.zoom("in"), "=": () => this.zoom("in"), "-": () => this.zoom("out"), 0: () => this.zoom("whole"), Escape: () => this.zoom("whole") }[event.key];
        if (done) {
          event.preventDefault();
          done();
        }
      });
      this.svg.addEventListener("blur", () => this.read(null));
    }

    nearest(place) {
      let best = null;
      let least = Infinity;
      this.marks.forEach((mark, number) =>
        mark.points.forEach((point, index) => {
          const [x, y] = this.shown(point);
          const distance = (x - place[0]) ** 2 + (y - place[1]) ** 2;
          if (distance < least) {
            least = distance;
            best = [number, index];
          }
        }),
      );
      return best;
    }

    step(marks, points) {
      if (!this.marks.length) return;
      const [mark, index] = this.at || [0, points < 0 ? 1 : -1];
      const next = Math.min(Math.max(mark + marks, 0), this.marks.length - 1);
      this.read([next, Math.min(Math.max(index + points, 0), this.marks[next].points.length - 1)]);
    }

    read(at) {
      this.at = at;
      this.svg.querySelectorAll(".cursor").forEach((one) => one.remove());
      if (!at) {
        this.readout.textContent = "";
        return;
      }
      const mark = this.marks[at[0]];
      const point = mark.points[at[1]];
      const [x, y] = this.shown(point);
      if (this.inside([x, y])) make("circle", { class: "cursor", cx: x, cy: y, r: 5 }, this.svg);
      const [labelX, labelY] = [...this.svg.querySelectorAll(".label")].map((one) => one.textContent);
      this.readout.textContent = `${mark.label}: ${labelX} ${this.told(0, point[0])}, ${labelY} ${this.told(1, point[1])}`;
    }

    select(place) {
      const [left, top, width, height] = this.box;
      const x = Math.min(Math.max(place[0], left), left + width);
      const y = Math.min(Math.max(place[1], top), top + height);
      this.svg.querySelectorAll(".selected").forEach((one) => one.remove());
      this.to = [x, y];
      make("rect", { class: "selected", x: Math.min(x, this.from[0]), y: Math.min(y, this.from[1]), width: Math.abs(x - this.from[0]), height: Math.abs(y - this.from[1]) }, this.svg);
    }

    release(place) {
      const { from, to } = this;
      this.from = this.to = null;
      this.svg.querySelectorAll(".selected").forEach((one) => one.remove());
      if (!place || !from || !to || Math.abs(to[0] - from[0]) < 8 || Math.abs(to[1] - from[1]) < 8) return;
      const [one, other] = [this.rest(from), this.rest(to)];
      this.look([Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.abs(one[0] - other[0]), Math.abs(one[1] - other[1])]);
    }

    zoom(how) {
      if (how === "whole") {
        this.look([...this.box]);
        return;
      }
      const factor = how === "in" ? 0.5 : 2;
      const middle = this.at && how === "in" ? this.marks[this.at[0]].points[this.at[1]] : [this.view[0] + this.view[2] / 2, this.view[1] + this.view[3] / 2];
      const size = [Math.min(this.view[2] * factor, this.box[2]), Math.min(this.view[3] * factor, this.box[3])];
      this.look([0, 1].map((axis) => Math.min(Math.max(middle[axis] - size[axis] / 2, this.box[axis]), this.box[axis] + this.box[axis + 2] - size[axis])).concat(size));
    }

    look(view) {
      if (view[2] < this.box[2] / 5000 || view[3] < this.box[3] / 5000) return;
      this.view = view;
      this.plot.setAttribute("viewBox", view.join(" "));
      if (!this.names) this.retick();
      this.read(this.at);
      this.follow();
    }

    retick() {
      const group = this.svg.querySelector(".ticks");
      const [left, top, width, height] = this.box;
      group.replaceChildren();
      this.axes.forEach(({ low, high, log }, axis) => {
        const rest = axis === 0 ? (this.view[0] - left) / width : 1 - (this.view[1] + this.view[3] - top) / height;
        const size = this.view[axis + 2] / this.box[axis + 2];
        const from = low + rest * (high - low);
        const to = from + size * (high - low);
        for (const [value, label] of ticks(from, to, log, axis === 0 ? 7 : 6)) {
          const share = (value - from) / (to - from);
          if (axis === 0) {
            const x = left + share * width;
            make("path", { class: "grid", d: `M${x} ${top}V${top + height}` }, group);
            make("text", { x, y: top + height + 17, "text-anchor": "middle" }, group).textContent = label;
          } else {
            const y = top + (1 - share) * height;
            make("path", { class: "grid", d: `M${left} ${y}H${left + width}` }, group);
            make("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, group).textContent = label;
          }
        }
      });
    }

    /* Mark the value that another chart's slider picked, and read all curves there. */
    follow(value = this.followed) {
      if (value === undefined) return;
      this.followed = value;
      this.svg.querySelectorAll(".picked-at").forEach((one) => one.remove());
      const [x] = this.shown([this.placeOfX(value), 0]);
      const [, top, , height] = this.box;
      if (this.inside([x, top])) make("path", { class: "picked-at", d: `M${x} ${top}V${top + height}` }, this.svg);
    }

    readAt(value) {
      const place = this.placeOfX(value);
      return this.marks.map((mark) => {
        const point = mark.points.reduce((best, one) => (Math.abs(one[0] - place) < Math.abs(best[0] - place) ? one : best));
        return `${mark.label}: ${this.told(1, point[1])}`;
      });
    }
  }

  const charts = new Map([...document.querySelectorAll("svg.chart")].map((svg) => [svg.id, new Chart(svg)]));

  for (const button of document.querySelectorAll("button[data-zoom]"))
    button.addEventListener("click", () => charts.get(button.dataset.for).zoom(button.dataset.zoom));

  for (const slider of document.querySelectorAll("input[data-for]")) {
    const { svg } = charts.get(slider.dataset.for);
    const values = slider.dataset.values.split(",").map(Number);
    const pick = () => {
      const value = values[Number(slider.value)];
      svg.classList.add("picking");
      svg.querySelectorAll(".picked").forEach((one) => one.classList.remove("picked"));
      svg.querySelectorAll(`path[data-key="${Number(slider.value)}"]`).forEach((one) => {
        one.classList.add("picked");
        one.parentNode.append(one);
      });
      document.getElementById(`${slider.dataset.for}-picked`).textContent = short(value);
      slider.setAttribute("aria-valuetext", short(value));
      for (const other of charts.values())
        if (other.svg.dataset.follows === slider.dataset.for) {
          other.follow(value);
          other.readout.textContent = `Weights at ${short(value)} Å: ${other.readAt(value).join("; ")}`;
        }
    };
    slider.addEventListener("input", pick);
  }

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((one) => one.setAttribute("open", ""));
  });
  addEventListener("afterprint", () => opened.forEach((one) => one.removeAttribute("open")));
})();
