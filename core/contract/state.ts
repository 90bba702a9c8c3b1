declare const valueType: unique symbol

/** A typed key for `exchange.get` and `exchange.set`. Make one per value with {@link stateKey} and keep it in a module. */
export interface StateKey<T> {
  /** `plugin.what`, for people who debug. Two keys with the same name are still two keys. */
  readonly name: string
  readonly [valueType]?: T
}

/** Makes a key under which a plugin keeps a value for the life of one exchange. */
export function stateKey<T>(name: string): StateKey<T> {
  return { name }
}
