// Passkeys need a script: the browser's own functions do the work, the server says what to sign and checks it.
"use strict";

const section = document.querySelector("section.passkey");

async function send(path, fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries({ csrf: section.dataset.csrf, ...fields })) body.append(name, value);
  const response = await fetch(path, { method: "POST", body, headers: { accept: "application/json" } });
  const answer = await response.json().catch(() => ({ error: section.dataset.failed }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const ceremonies = {
  async register(options) {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  },
  async login(options) {
    return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  },
};

async function run(kind) {
  const { handle, options } = await send(`/passkeys/${kind}/begin`, {});
  const credential = await ceremonies[kind](JSON.parse(options));
  const label = section.querySelector("input")?.value ?? "";
  const { to } = await send(`/passkeys/${kind}/finish`, {
    handle, label, credential: JSON.stringify(credential.toJSON()), to: section.dataset.to ?? "/",
  });
  location.assign(to);
}

if (section && window.PublicKeyCredential?.parseCreationOptionsFromJSON) {
  section.hidden = false;
  const button = section.querySelector("button[data-passkey]");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await run(button.dataset.passkey);
    } catch (error) {
      section.querySelector("[role=status]").textContent = error.message;
      button.disabled = false;
    }
  });
}
