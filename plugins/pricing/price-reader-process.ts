/** Run as a process of its own by {@link findPriceLists}: what is wanted comes as an argument, the answer goes to stdout. */

import { stdout } from 'node:process'
import type { WantedLists } from './price-list.ts'
import { readPriceLists } from './price-reader.ts'

stdout.write(JSON.stringify(readPriceLists(JSON.parse(process.argv[2] ?? '{}') as WantedLists)))
