for (const deck of document.querySelectorAll(".deck")) {
  const at = (name) => deck.querySelector(name), cards = [...deck.querySelectorAll("article")];
  const paint = () => {
    const by = at(".by") ? at(".by").value : "";
    for (const text of deck.querySelectorAll(".tokens")) {
      const steps = text.dataset["s" + by] || "";
      [...text.querySelectorAll("i")].forEach((token, i) => {
        const step = i < steps.length ? steps.charCodeAt(i) - 101 : 0;
        token.className = step > 0 ? "u" + step : step < 0 ? "d" + -step : "";
      });
    }
  };
  const show = () => {
    const why = at(".why").value, key = at(".sort").value, find = at(".find").value.toLowerCase();
    let shown = 0;
    for (const card of cards) {
      card.hidden = (why && card.dataset.why !== why) || !card.textContent.toLowerCase().includes(find);
      shown += card.hidden ? 0 : 1;
    }
    const order = key ? [...cards].sort((a, b) => b.dataset[key] - a.dataset[key]) : cards;
    order.forEach((card) => deck.append(card));
    at("output").textContent = shown + " of " + cards.length;
  };
  at(".controls").addEventListener("submit", (event) => event.preventDefault());
  at(".controls").hidden = false;
  if (at(".by")) at(".by").addEventListener("change", paint);
  for (const name of [".why", ".sort"]) at(name).addEventListener("change", show);
  at(".find").addEventListener("input", show);
  show();
}
