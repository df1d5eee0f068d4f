{
  const slider = $("timeline-point");
  if (slider) {
    const samples = [...$("timeline-samples").children];
    const show = () => {
      samples.forEach((sample, i) => { sample.hidden = i !== Number(slider.value); sample.firstElementChild.hidden = true; });
      $("timeline-when").textContent = samples[slider.value].dataset.when;
      slider.setAttribute("aria-valuetext", samples[slider.value].dataset.step);
    };
    $("timeline-choice").hidden = false;
    slider.addEventListener("input", show);
    show();
  }
}
