import { ours, passIf, type VerifyCheck } from './check.ts'

/** The store says which value is current; the journal, who did what when. */
export const storePrivate: VerifyCheck = {
  id: 'store.private',
  title: 'Nobody else can read the store and the record of what was done',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it sets the modes.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    ours(world)
    const { own, store, base, journal } = world.layout
    const documents = world.names(store).map(name => `${store}/${name}`)
    const wrong = [own, store, base, journal, ...documents].filter(path => {
      const found = world.file(path)
      return found === undefined || (found.mode & 0o077) !== 0
    })
    return passIf(
      documents.length > 0 && wrong.length === 0,
      `.secure: ${wrong.length === 0 ? `${documents.length} documents, the journal and their folders are their owner’s alone` : `open to others or missing: ${wrong.join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.chmod('.secure', 0o755) },
}
