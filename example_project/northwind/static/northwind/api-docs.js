// Swagger UI in the page's own element. Nothing is asked of another server, and no key is kept.

const element = document.getElementById("swagger");
SwaggerUIBundle({
  domNode: element,
  url: element.dataset.document,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  validatorUrl: null,
  deepLinking: true,
  defaultModelsExpandDepth: -1,
  persistAuthorization: false,
});
