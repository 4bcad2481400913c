/* global SwaggerUIBundle */
const document = await (await fetch('/openapi.json')).json()
for (const operation of Object.values(document.paths).flatMap((methods) => Object.values(methods))) {
  for (const parameter of operation.parameters ?? []) {
    if (parameter.required || parameter.example === undefined) continue
    // Swagger UI would send it with every request: the idempotency key of an example, a condition, a range
    parameter.description += `, for example \`${parameter.example}\``
    delete parameter.example
  }
}
SwaggerUIBundle({
  spec: document,
  dom_id: '#swagger-ui',
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  // Without it the page would send the document to validator.swagger.io
  validatorUrl: null,
})
