/**
 * Opens the embedded database of the data directory in the first argument, and writes numbered rows until it is killed.
 * Prints "open", then each number that is acknowledged. Started by tests as a process of its own.
 */
import { openDatabase } from '../core/services/database/index.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const database = await openDatabase({ dataDirectory: process.argv[2] ?? '', logger: silent })
await database.query('create table written (number int primary key)')
console.log('open')
for (let number = 1; ; number++) {
  await database.query('insert into written (number) values ($1)', [number])
  console.log(number)
}
