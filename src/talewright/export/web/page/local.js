// A browser runs neither modules nor workers of a page that was opened from a folder: say so.
if (location.protocol === "file:") {
  document.getElementById("failure-text").textContent =
    "This page needs a web server. In its folder, run: python -m http.server 8000 - then open http://localhost:8000.";
  document.getElementById("failure").hidden = false;
  document.getElementById("retry").hidden = true;
  document.getElementById("loading").hidden = true;
}
