// Scalar's validators try whether they may compile code, which the page's policy forbids: they need not ask.
globalThis.__zod_globalConfig = { jitless: true };
