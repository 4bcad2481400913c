/* global SwaggerUIBundle */
const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', follow)
follow()

const { servers, ...spec } = await (await fetch('openapi.json')).json()
for (const operation of Object.values(spec.paths).flatMap((methods) => Object.values(methods))) {
  for (const parameter of operation.parameters ?? []) {
    if (parameter.required || parameter.example === undefined) continue
    // Swagger UI would send it with every request: the idempotency key of an example, a condition, a range
    parameter.description += `, for example \`${parameter.example}\``
    delete parameter.example
  }
}
// Behind a prefix of a proxy; else there is only this server to choose
const { pathname } = new URL('.', location.href)
if (pathname !== '/') spec.servers = [{ url: pathname.slice(0, -1) }]
SwaggerUIBundle({
  spec,
  dom_id: '#swagger-ui',
  deepLinking: true,
  displayRequestDuration: true,
  // Without it the page would send the document to validator.swagger.io
  validatorUrl: null,
})
