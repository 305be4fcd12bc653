/* What a browser can say of the page; `test_browser.py` asks for it. */
({
  /* Text elements with too little contrast against what is behind them: WCAG 2.2, 1.4.3. */
  contrast() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const parse = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const color = parse(getComputedStyle(one).backgroundColor);
        if (color[3] === 255) return color;
      }
      return [255, 255, 255, 255];
    };
    const low = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
      const style = getComputedStyle(element);
      const fore = parse(element.closest("svg") ? style.fill : style.color);
      const [a, b] = [light(fore), light(behind(element))].sort((x, y) => y - x);
      seen += 1;
      if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${element.tagName}.${element.className}: ${walker.currentNode.textContent}`);
    }
    return { seen, low };
  },

  /* Colors of curves with too little contrast against their plot: WCAG 2.2, 1.4.11. */
  curves() {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const light = (color) => {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [x, y, z] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
        .map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = light(getComputedStyle(document.querySelector(".frame")).fill);
    const ratio = (color) => { const one = light(color); return (Math.max(one, ground) + 0.05) / (Math.min(one, ground) + 0.05); };
    return [...document.querySelectorAll("path[data-label]")].filter((one) => ratio(getComputedStyle(one).stroke) < 3)
      .map((one) => one.dataset.label);
  },

  /* Elements that can be reached by keyboard without a name, and figures without one. */
  nameless() {
    return [...document.querySelectorAll("a, button, input, summary, svg.chart, [role=region]")].filter((one) => {
    const by = (one.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean).map((id) => document.getElementById(id));
    if (by.includes(null)) return true;
    const label = one.id && document.querySelector(`label[for="${one.id}"]`);
    const name = [one.getAttribute("aria-label"), ...by.map((other) => other.textContent), label && label.textContent, one.textContent];
    return !name.some((text) => text && text.trim());
  }).map((one) => one.outerHTML.slice(0, 120));
  },

  /* Figures with a curve that has no place inside the plot. */
  empty() {
    return [...document.querySelectorAll("figure")].filter((figure) => {
    const marks = [...figure.querySelectorAll("path[data-label]")];
    const plot = figure.querySelector(".frame").getBoundingClientRect();
    return !(marks.length && marks.some((mark) => {
      const box = mark.getBoundingClientRect();
      return mark.getTotalLength() >= 0 && mark.getAttribute("d") && box.right >= plot.left && box.left <= plot.right
        && box.bottom >= plot.top && box.top <= plot.bottom && plot.width > 100;
    }));
  }).map((figure) => figure.querySelector("h3").textContent);
  },
});
