// Starts Scalar on this server's own document, with everything off that would ask another host.
Scalar.createApiReference("#docs", {
  url: "/openapi.json",
  servers: [{ url: location.origin, description: "This server" }],
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
  // A token survives a reload: it stays in the browser's storage for this origin until it is taken out of the field.
  persistAuth: true,
  authentication: { preferredSecurityScheme: "bearer" },
});
