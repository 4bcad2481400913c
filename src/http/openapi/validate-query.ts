import type { FastifySchemaCompiler } from 'fastify'
import type { TObject, TSchema } from 'typebox'
import { Check } from 'typebox/schema'
import { BadQuery } from '../../errors.ts'

/**
 * The validator of Fastify: checks query parameters and leaves the rest of a schema to the OpenAPI document. Ajv and the compiler of
 * TypeBox would take `1e2` and `+5` for integers.
 *
 * @param schema each property has a description, which ends the sentence 'The query parameter "limit" must be …'
 */
export const validateQuery: FastifySchemaCompiler<TObject> = ({ schema, httpPart }) => {
  if (httpPart !== 'querystring') return () => true
  const rules = Object.entries(schema.properties as Record<string, TSchema & { type?: string; description?: string }>)
  return (query: Record<string, unknown>) => {
    const value = { ...query }
    for (const [name, rule] of rules) {
      if (value[name] === undefined) continue
      if (rule.type === 'integer' && /^[1-9]\d*$/.test(String(value[name]))) value[name] = Number(value[name])
      if (!Check(rule, value[name])) return { error: new BadQuery(name, String(rule.description)) }
    }
    return { value }
  }
}
