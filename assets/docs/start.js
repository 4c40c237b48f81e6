// Starts Scalar on this server's own document, with everything off that would ask another host.
Scalar.createApiReference("#docs", {
  url: "/openapi.json",
  title: "Satchel API",
  metaData: { title: "Satchel API" },
  favicon: "/scalar/icon.svg",
  theme: "default",
  layout: "modern",
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: "never",
  hideClientButton: true,
  defaultOpenAllTags: false,
  persistAuth: true,
  authentication: { preferredSecurityScheme: "bearer" },
});
