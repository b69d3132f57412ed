import { ours, passIf, type VerifyCheck } from './check.ts'

/** The store says which value is current, or there lies what opens it; the journal, who did what when. */
export const storePrivate: VerifyCheck = {
  id: 'store.private',
  title: 'Nobody else can read the store, what opens it, and the record of what was done',
  line: 4,
  threat: 'credential leakage',
  severity: 'high',
  kind: 'static',
  remedy: 'Run create-openclaw-secure . again: it sets the modes.',
  refs: { seed: '5. Secrets Management' },
  async run(world) {
    const { store: kind, seal } = ours(world)
    const { own, store, sealed, credentials, base, journal } = world.layout
    const below = (folder: string) =>
      world.file(folder) === undefined
        ? []
        : [folder, ...world.names(folder).map(name => `${folder}/${name}`)]
    const documents = seal === 'none' ? below(store) : below(sealed)
    const wrong = [own, base, journal, ...documents, ...below(credentials)].filter(path => {
      const found = world.file(path)
      return found === undefined || (found.mode & 0o077) !== 0
    })
    return passIf(
      (kind !== 'docker' || documents.length > 1) && wrong.length === 0,
      `.secure: ${wrong.length === 0 ? `${Math.max(documents.length - 1, 0)} documents, ${Math.max(below(credentials).length - 1, 0)} credentials, the journal and their folders are their owner’s alone` : `open to others or missing: ${wrong.join(', ')}`}`,
    )
  },
  sabotage: { weaken: twin => twin.chmod('.secure', 0o755) },
}
