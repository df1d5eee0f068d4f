// Copies and saves text, and says in the page's status what became of it.

const element = (id) => document.getElementById(id);

export async function copy(content, message = "Copied.") {
  try {
    await navigator.clipboard.writeText(content);
    element("status").textContent = message;
  } catch {
    element("status").textContent = "This browser does not allow the page to copy. Select the story and copy it yourself.";
  }
}

export function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content, "\n"], { type: "text/plain;charset=utf-8" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  element("status").textContent = `Saved as ${name}.`;
}
