// A click on a column's head sorts the table by it, a second click the other way; empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.addEventListener("click", () => {
      const sign = head.dataset.order === "up" ? -1 : 1;
      heads.forEach((other) => delete other.dataset.order);
      head.dataset.order = sign === 1 ? "up" : "down";
      const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const numbers = [Number(x), Number(y)];
        return sign * (numbers.some(Number.isNaN) ? x.localeCompare(y) : numbers[0] - numbers[1]);
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}
// Drawn when the whole page stands, so that every figure knows its width.
for (const plot of document.querySelectorAll(".plot")) {
  const { data, layout } = JSON.parse(plot.firstElementChild.textContent);
  plot.replaceChildren();
  Plotly.newPlot(plot, data, layout, { displayModeBar: false, responsive: true });
}
// All figures take the printed page's width, and the evidence is printed too.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
  document.querySelectorAll(".js-plotly-plot").forEach((plot) => Plotly.Plots.resize(plot));
});
