import { resolve } from 'node:path'
import {
  ensureDirectory,
  type FileOwner,
  lookAt,
  readIfPresent,
  writeAtomic,
} from '../../src/deployment/files.ts'
import type { Ownership } from '../../src/deployment/owner.ts'
import { directoriesOf, type PlannedDirectory } from '../../src/deployment/plan.ts'
import { verbatim } from '../../src/deployment/render.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'layout' | 'written' | 'found'>

/**
 * The folder and its parts, with the answers and the ignore rules in it before any secret is: from here on a run that
 * was cut short can be taken up, and nothing secret can be committed by accident.
 */
export const createFolder: Step<Needs> = {
  id: 'folder.create',
  title: 'Create the deployment folder',
  effect: 'writes',
  skip: ctx => (isComplete(ctx) ? 'it is there' : undefined),
  async run(ctx) {
    const { layout, found } = ctx
    const ownership = must(found, 'ownership')
    for (const directory of planned(ctx))
      ensureDirectory(resolve(layout.root, directory.path), directory.mode, ownerOf(directory, ownership))
    for (const { path, content } of early(ctx))
      if (readIfPresent(path) !== content) writeAtomic(path, content, 0o644)
    return { saw: layout.root }
  },
}

/** The owner to set; undefined where the person's own user is the right one. */
export function ownerOf(
  planned: Pick<PlannedDirectory, 'owner'>,
  ownership: Ownership,
): FileOwner | undefined {
  return planned.owner === 'gateway' && ownership.by === 'chown' ? ownership.host : undefined
}

function planned({ answers, layout }: Needs): PlannedDirectory[] {
  return directoriesOf(layout, answers)
}

function early({ layout, written }: Needs): { path: string; content: string }[] {
  const ignore = resolve(layout.root, '.gitignore')
  return [
    { path: ignore, content: withOurRules(readIfPresent(ignore)) },
    // Answers that are there stay until the files of the new ones are checked and written with them.
    { path: layout.answers, content: readIfPresent(layout.answers) ?? written },
  ]
}

/** Somebody's own ignore file with every rule of ours in it. */
function withOurRules(present: string | undefined): string {
  const ours = verbatim('gitignore.hbs')
  if (present === undefined) return ours
  const has = new Set(present.split('\n').map(line => line.trim()))
  const missing = ours.split('\n').filter(line => line !== '' && !has.has(line))
  return missing.length === 0 ? present : `${present.replace(/\n?$/, '\n')}${missing.join('\n')}\n`
}

function isComplete(ctx: Needs): boolean {
  const ownership = must(ctx.found, 'ownership')
  const directories = planned(ctx).every(directory => {
    const there = lookAt(resolve(ctx.layout.root, directory.path))
    const owner = ownerOf(directory, ownership)
    return (
      there?.isDirectory() === true &&
      (Number(there.mode) & 0o7777) === directory.mode &&
      (owner === undefined || there.uid === owner.uid)
    )
  })
  return directories && early(ctx).every(({ path, content }) => readIfPresent(path) === content)
}
