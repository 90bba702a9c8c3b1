/** Run as a process of its own by {@link findModelLists}: what is wanted comes as an argument, the answer goes to stdout. */

import { stdout } from 'node:process'
import { readModelLists } from './list-reader.ts'
import type { WantedLists } from './model-list.ts'

stdout.write(JSON.stringify(readModelLists(JSON.parse(process.argv[2] ?? '{}') as WantedLists)))
