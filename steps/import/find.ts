import type { Step } from '../../src/procedure/step.ts'
import type { Secret } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'
import { count, type ImportContext, importable, type PlainSecret } from './context.ts'
import { alternativesOf } from './names.ts'
import { survey } from './scan.ts'
import { importTable } from './table.ts'

/** Looks for plaintext secrets, compares them with what the store has, and shows where each is and what becomes of it. */
export const findSecrets: Step<ImportContext> = {
  id: 'import.find',
  title: 'Look for secrets in plain text',
  effect: 'reads',
  async run({ folder, redactor, store, known, say, found }) {
    const { secrets, remarks, files } = survey(folder, redactor)
    found.secrets = await beside(store, secrets)
    found.remarks = remarks
    found.files = files
    const names = importable(found)
    found.added = [...names.keys()].filter(name => !known.includes(name))
    for (const line of importTable(found.secrets, remarks).split('\n')) say(line)
    const stay = found.secrets.filter(secret => secret.stays !== undefined)
    const places = found.secrets.length - stay.length
    return {
      saw: [
        `${count(names.size, 'secret')} in ${count(places, 'place')} of ${count(files.size, 'file')}`,
        ...(stay.length === 0 ? [] : [`${count(stay.length, 'place')} left as found`]),
        ...(found.added.length === 0 ? [] : [`new to this deployment: ${found.added.join(', ')}`]),
      ].join('; '),
    }
  },
}

/** The secrets with the store's word on each: what it has under a name counts, and is not replaced by what a file says. */
async function beside(store: SecretStore, secrets: readonly PlainSecret[]): Promise<PlainSecret[]> {
  const names = new Map<string, string>()
  const conflicts = new Map<string, string>()
  for (const [name, { value }] of importable({ secrets: [...secrets] })) {
    const stored = await store.load(name)
    if (stored?.current === undefined || stored.current.value.equals(value)) continue
    const other = await storedElsewhere(store, name, value)
    if (other === undefined)
      conflicts.set(
        name,
        'the store has another value under this name: the deployment’s own stays, and rotate changes it',
      )
    else names.set(name, other)
  }
  const all = secrets.map(secret => {
    const conflict = secret.stays === undefined ? conflicts.get(secret.name) : undefined
    const name = secret.stays === undefined ? (names.get(secret.name) ?? secret.name) : secret.name
    return { ...secret, name, ...(conflict === undefined ? {} : { stays: conflict }) }
  })
  // A variable that stays is used as before.
  return all.filter(({ stays, uses }) => stays === undefined || uses === undefined)
}

/**
 * Two values of one name are numbered. When a run was cut short after it replaced the first, the second alone would look for
 * the first one's place: it is found where that run has put it.
 */
async function storedElsewhere(store: SecretStore, name: string, value: Secret): Promise<string | undefined> {
  for (const other of alternativesOf(name))
    if ((await store.load(other))?.current?.value.equals(value) === true) return other
  return undefined
}
