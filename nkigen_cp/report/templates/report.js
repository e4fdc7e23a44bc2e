"use strict";
(() => {
  const touched = JSON.parse(document.getElementById("touched").textContent);
  const bar = document.getElementById("picked");
  const marked = new Map();
  for (const element of document.querySelectorAll("[data-t], [data-s]")) {
    const names = element.dataset.t ? [element.dataset.t] : touched[element.dataset.s] || [];
    for (const name of names) {
      if (!marked.has(name)) marked.set(name, []);
      marked.get(name).push(element);
    }
  }
  let chosen = "";
  const show = (name) => {
    for (const element of marked.get(chosen) || []) element.classList.remove("hit");
    for (const button of document.querySelectorAll("button.t[aria-pressed=true]")) {
      button.setAttribute("aria-pressed", "false");
    }
    chosen = name === chosen ? "" : name;
    const found = marked.get(chosen) || [];
    for (const element of found) {
      element.classList.add("hit");
      if (element.matches("button.t")) element.setAttribute("aria-pressed", "true");
    }
    document.body.classList.toggle("picking", chosen !== "");
    bar.hidden = chosen === "";
    bar.firstElementChild.textContent = chosen + ": in " + found.length + " places";
  };
  bar.querySelector("button").addEventListener("click", () => show(chosen));
  document.addEventListener("click", (event) => {
    const element = event.target.closest("[data-t], svg [data-s]");
    if (!element || event.target.closest("a, summary")) return;
    if (element.matches("tbody") && !event.target.closest("button, svg")) return;
    if (element.dataset.t) show(element.dataset.t);
    else location.hash = "step-" + element.dataset.s;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && chosen) show(chosen);
  });
})();
