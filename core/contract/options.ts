/**
 * JSON Schema as a TypeScript type, for the subset that plugin options and params use.
 * The kernel validates values with ajv against the same schema, so the type and the check cannot drift apart.
 */

/** A JSON Schema. Keywords that {@link OptionsOf} does not know are still validated, but typed loosely. */
export interface Schema {
  readonly type?: string | readonly string[]
  readonly properties?: { readonly [name: string]: Schema }
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly description?: string
  /** Marks a secret: redacted wherever the value is printed. */
  readonly writeOnly?: boolean
  readonly [keyword: string]: unknown
}

/** The schema of a plugin's or provider's options: always an object, so that every option has a name. */
export interface ObjectSchema extends Schema {
  readonly type: 'object'
}

type Simplify<T> = { [K in keyof T]: T[K] }

/** Keys that are present after validation: the required ones, and those whose schema has a default. */
type PresentKeys<S extends Schema> = {
  [K in keyof S['properties']]: K extends RequiredKeys<S>
    ? K
    : S['properties'][K] extends { readonly default: unknown }
      ? K
      : never
}[keyof S['properties']]

type RequiredKeys<S extends Schema> = S['required'] extends readonly (infer K)[] ? K : never

type TypeNamed<N, S extends Schema> = N extends 'string'
  ? string
  : N extends 'integer' | 'number'
    ? number
    : N extends 'boolean'
      ? boolean
      : N extends 'null'
        ? null
        : N extends 'array'
          ? S['items'] extends Schema
            ? readonly OptionsOf<S['items']>[]
            : readonly unknown[]
          : N extends 'object'
            ? ObjectOf<S>
            : unknown

type ObjectOf<S extends Schema> = S['properties'] extends { readonly [name: string]: Schema }
  ? Simplify<
      { readonly [K in PresentKeys<S>]: OptionsOf<S['properties'][K & keyof S['properties']]> } & {
        readonly [K in Exclude<keyof S['properties'], PresentKeys<S>>]?: OptionsOf<S['properties'][K]>
      }
    >
  : S['additionalProperties'] extends Schema
    ? { readonly [name: string]: OptionsOf<S['additionalProperties']> }
    : { readonly [name: string]: unknown }

/**
 * The value a schema describes once it has been validated and its defaults filled in.
 * Schemas must be literals (`as const` outside {@link definePlugin}, which infers them).
 */
export type OptionsOf<S extends Schema> = S extends { readonly const: infer C }
  ? C
  : S extends { readonly enum: readonly (infer E)[] }
    ? E
    : S['type'] extends readonly (infer N)[]
      ? TypeNamed<N, S>
      : TypeNamed<S['type'], S>
