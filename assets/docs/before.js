// Scalar's validators try whether they may compile code, which the page's policy forbids: they need not ask.
globalThis.__zod_globalConfig = { jitless: true };

// Scalar keeps what was typed over a reload. Only an access token gets into the browser's storage: no password, and no refresh
// token, which is good for days.
const { setItem } = Storage.prototype;
Storage.prototype.setItem = function (key, value) {
  const secret = /("x-scalar-secret-(?:password|refresh-token|client-secret)":)"(?:[^"\\]|\\.)*"/g;
  setItem.call(this, key, String(value).replace(secret, '$1""'));
};
