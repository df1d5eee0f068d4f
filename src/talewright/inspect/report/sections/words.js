if (data.near) {
  const field = $("word"), list = $("frequent-words");
  for (const word of Object.keys(data.near).sort()) list.append(Object.assign(document.createElement("option"), { value: word }));
  const show = () => {
    const found = data.near[field.value.trim()];
    if (found) $("near").replaceChildren(bars(found, (cosine) => cosine.toFixed(2)));
    else $("near").textContent = "Not among the frequent words; choose one from the list.";
  };
  field.addEventListener("input", show);
  show();
}
