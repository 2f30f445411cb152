// One figure at a time, chosen by a slider; without scripts all figures stay visible.
for (const film of document.querySelectorAll(".film")) {
  const figures = [...film.querySelectorAll("figure")];
  if (figures.length < 2) continue;
  const slider = Object.assign(document.createElement("input"), { type: "range", min: 0, max: figures.length - 1 });
  slider.setAttribute("aria-label", "Which of the pictures over time");
  slider.value = figures.length - 1;
  const show = () => figures.forEach((figure, i) => figure.classList.toggle("hidden", i !== +slider.value));
  slider.addEventListener("input", show);
  film.prepend(slider);
  show();
}
