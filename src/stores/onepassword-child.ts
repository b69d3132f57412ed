/**
 * A program of its own, started by `onepassword.ts` for one question to 1Password: the request on stdin, one line on
 * stdout. The SDK has no deadline and cannot be interrupted, and a fault in its core ends the process (measured,
 * 0.5.0); here it ends this one.
 */
import { text } from 'node:stream/consumers'
import { respond } from './onepassword-items.ts'

const write = process.stdout.write.bind(process.stdout)
// Whatever else is printed goes nowhere: it could push the answer out of what our parent keeps.
process.stdout.write = () => true

const answer = await respond(await text(process.stdin))
// Ended here, and not when everything the SDK left behind has ended: connections that are kept open, timers.
write(answer, () => process.exit())
