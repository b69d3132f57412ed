import { resolve } from 'node:path'
import { placeOf } from '../deployment/answers.ts'
import { Exit, type ExitCode } from '../errors.ts'
import { allSecretNamesOf } from '../gateway/policy.ts'
import { envelope } from '../report/json.ts'
import {
  credentialOf,
  forbidCoreDumps,
  type GlobalOptions,
  openSession,
  type Program,
  storeOf,
} from './program.ts'
import { savedAnswers } from './verify.ts'

/** Says where the secrets live and whether that store can be reached and has them all. 0: it has; 1: not all; 3: it cannot be reached. */
export async function storeCheck(program: Program, options: GlobalOptions): Promise<ExitCode> {
  const startedAt = program.now().toISOString()
  const session = await openSession(program, resolve(program.cwd, options.dir ?? '.'), options)
  await forbidCoreDumps(session)
  const answers = savedAnswers(session)
  const credential = await credentialOf(options.storeCredential, program)
  const store = await storeOf(session, program, answers, { credential: () => credential })
  try {
    const saw = await store.check()
    const stored = await Promise.all(
      allSecretNamesOf(answers).map(async name => ({
        name,
        rotation: (await store.load(name))?.current?.rotationId,
      })),
    )
    const head = {
      version: program.version,
      command: 'store check',
      deployment: session.layout.root,
      startedAt,
    }
    const lines = [saw, ...stored.map(({ name, rotation }) => `${name}  ${rotation ?? 'not stored'}`)]
    program.stdout.write(
      options.json
        ? envelope(head, { store: answers.store, place: placeOf(answers), saw, secrets: stored })
        : `${lines.join('\n')}\n`,
    )
    return stored.some(one => one.rotation === undefined) ? Exit.failed : Exit.done
  } finally {
    await store.close()
  }
}
