// The address that Label Studio needs, and its copying.

export function showConnection() {
  const address = new URL(".", document.baseURI).href.replace(/\/$/, "");
  const shown = document.getElementById("address");
  const button = document.getElementById("copy");
  shown.textContent = address;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(address);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    } catch { // not over plain http: leave it to the user
      getSelection().selectAllChildren(shown);
    }
  });
}
