/** What may be rotated here, what is kept of it, and what a server other than OpenBao might answer. */
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { Redactor, Secret } from '../../src/secret.ts'
import {
  forgetCredential,
  isSpent,
  keepCredential,
  keepNextCredential,
  keptCredential,
  leftoverCredentials,
  nextCredential,
  switchCredential,
} from '../../src/stores/credential.ts'
import { vaultPlace } from '../../src/stores/open.ts'
import { policyText, rotationRights, VaultSecretIds } from '../../src/stores/vault-secret-id.ts'
import { secretIdAge, secretIdSteps } from '../../steps/rotate/secret-id.ts'
import { ANSWERS, scratch, some } from './support.ts'
import { fakeServer, type Seen } from './vault-servers.ts'

const VAULT: Answers = {
  ...ANSWERS,
  ...{ store: 'vault', vaultAddress: 'http://127.0.0.1:1', vaultMount: 'secret', vaultPath: 'openclaw/x' },
  ...{ vaultAuth: 'approle', vaultAuthMount: 'approle', vaultRole: 'role-id' },
}
const [OLD, NEXT] = [new Secret('the-old-secret-id'), new Secret('the-next-secret-id')]

describe('a credential that is not this tool’s to rotate is refused, and the person told who has to do it:', () => {
  const refusal = (answers: Partial<Answers>, env: Record<string, string> = {}) => {
    const layout = layoutOf(scratch())
    const ctx = { layout, answers: { ...VAULT, ...answers }, redactor: new Redactor(), env, found: {} }
    return some(secretIdSteps[0]).run(ctx, new AbortController().signal)
  }

  it.each<[string, Partial<Answers>, RegExp, RegExp]>([
    ['none at all', { store: 'docker' }, /no credential/, /secrets themselves/],
    [
      '1Password’s',
      { store: '1password' },
      /service account token for 1Password/,
      /--store-credential @FILE/,
    ],
    ['a token', { vaultAuth: 'token' }, /a token for Vault \(token\)/, /revoke the old one/],
    ['a JWT', { vaultAuth: 'jwt', credentialFile: '/run/jwt' }, /a JWT for Vault/, /put it into \/run\/jwt/],
    ['Kubernetes’', { vaultAuth: 'kubernetes' }, /for Vault \(kubernetes\)/, /Whoever issues it/],
  ])('%s', async (_, answers, message, hint) => {
    await expect(refusal(answers)).rejects.toMatchObject({
      ...{ code: 'credential_not_ours', exit: 2 },
      ...{ message: expect.stringMatching(message), hint: expect.stringMatching(hint) },
    })
  })

  it('a secret id that is kept elsewhere: in a file that the answers name, or in systemd', async () => {
    const elsewhere = {
      ...{ code: 'credential_elsewhere', exit: 2 },
      hint: expect.stringContaining('bao write -f auth/approle/role/NAME/secret-id'),
    }
    const named = refusal({ credentialFile: '/etc/openclaw/secret-id' })
    await expect(named).rejects.toMatchObject({
      ...elsewhere,
      message: expect.stringMatching(/kept in \/etc\/openclaw\/secret-id, which credential-file names/),
    })
    const folder = scratch()
    writeFileSync(join(folder, 'vault_credential'), 'x')
    await expect(refusal({}, { CREDENTIALS_DIRECTORY: folder })).rejects.toMatchObject({
      ...elsewhere,
      message: expect.stringContaining('systemd hands over'),
    })
    // A folder of systemd's without it is nobody's.
    const none = refusal({}, { CREDENTIALS_DIRECTORY: scratch() })
    await expect(none).rejects.toMatchObject({ code: 'store_credential' })
  })
})

describe('what is going to open the store', () => {
  const kept = () => {
    const layout = layoutOf(scratch())
    mkdirSync(layout.own)
    keepCredential(layout, 'vault', OLD, new Secret('s.wrapping'))
    return layout
  }

  it('lies beside what does, becomes it in one step, and did not come out of the old one’s wrapping', () => {
    const layout = kept()
    keepNextCredential(layout, 'vault', NEXT)
    expect(keptCredential(layout, VAULT)?.equals(OLD)).toBe(true)
    expect(nextCredential(layout, VAULT)?.equals(NEXT)).toBe(true)
    expect(isSpent(layout, VAULT, new Secret('s.wrapping'))).toBe(true)
    switchCredential(layout, 'vault')
    expect(keptCredential(layout, VAULT)?.equals(NEXT)).toBe(true)
    expect(nextCredential(layout, VAULT)).toBeUndefined()
    expect(isSpent(layout, VAULT, new Secret('s.wrapping'))).toBe(false)
    expect(readdirSync(layout.credentials)).toEqual(['vault'])
  })

  it('is no leftover while the store is in use, and one as soon as another is', () => {
    const layout = kept()
    keepNextCredential(layout, 'vault', NEXT)
    expect(leftoverCredentials(layout, 'vault', false)).toEqual([])
    expect(leftoverCredentials(layout, '1password', false)).toContain(join(layout.credentials, 'vault.next'))
    expect(leftoverCredentials(layout, 'docker', true)).toEqual([])
  })

  it('is forgotten with it', () => {
    const layout = kept()
    keepNextCredential(layout, 'vault', NEXT)
    forgetCredential(layout, 'vault')
    expect(readdirSync(layout.credentials)).toEqual([])
  })

  it('is as old as its file, and of no age where there is none', () => {
    expect(secretIdAge(layoutOf(scratch()))).toBeUndefined()
    const layout = kept()
    const then = new Date('2026-05-04T03:02:01Z')
    utimesSync(join(layout.credentials, 'vault'), then, then)
    expect(secretIdAge(layout)).toEqual(then)
  })
})

describe('the rights to rotate', () => {
  it('are at the path of the role as the server writes it, and say what each allows', () => {
    expect(policyText(rotationRights({ authMount: 'team/approle' }, 'Carols.Role'))).toBe(
      `path "auth/team/approle/role/carols.role/secret-id" {
  capabilities = ["update", "list"]
}
path "auth/team/approle/role/carols.role/secret-id/lookup" {
  capabilities = ["update"]
}
path "auth/team/approle/role/carols.role/secret-id-accessor/destroy" {
  capabilities = ["update"]
}
`,
    )
  })
})

describe('a server', () => {
  const served = async (
    role: string | undefined,
    also: (seen: Seen) => { status: number; body?: unknown },
  ) => {
    const server = await fakeServer(seen => {
      if (seen.path.endsWith('/login'))
        return { body: { auth: { client_token: 'hvs.token', lease_duration: 90, renewable: true } } }
      if (seen.path.endsWith('/lookup-self'))
        return { body: { data: { meta: role === undefined ? null : { role_name: role } } } }
      return seen.path.endsWith('/revoke-self') ? { status: 204 } : also(seen)
    })
    onTestFinished(server.close)
    const place = { ...vaultPlace(VAULT), address: server.address, namespace: 'team' }
    const ids = new VaultSecretIds({
      place,
      credential: () => OLD,
      redactor: new Redactor(),
      deadline: 15_000,
    })
    onTestFinished(() => ids.close())
    return { ids, seen: server.seen }
  }

  it('that does not know a secret id says so with 204 or with 404', async () => {
    for (const answer of [{ status: 204 }, { status: 404, body: { errors: [] } }]) {
      const { ids, seen } = await served('x', () => answer)
      expect(await ids.accessorOf(OLD)).toBeUndefined()
      expect(seen.find(({ path }) => path.endsWith('/role/x/secret-id/lookup'))).toMatchObject({
        headers: { 'x-vault-namespace': 'team', 'x-vault-token': 'hvs.token' },
      })
    }
  })

  it('that refuses is answered with the lines that its policy lacks', async () => {
    const { ids } = await served('x', () => ({ status: 403, body: { errors: ['permission denied'] } }))
    await expect(ids.destroy('some-accessor')).rejects.toMatchObject({
      ...{ code: 'store_denied', message: expect.stringContaining('role "x"') },
      hint: expect.stringMatching(
        /^Have this .*\npath "auth\/approle\/role\/x\/secret-id-accessor\/destroy" \{/,
      ),
    })
  })

  it.each([undefined, 'a/../../root', 'x"]}\npath "*" {', '..'])(
    'that names a role which cannot be part of a path is not believed: %j',
    async role => {
      const { ids, seen } = await served(role, () => ({ status: 204 }))
      await expect(ids.accessorOf(OLD)).rejects.toMatchObject({ code: 'store_denied' })
      expect(seen.filter(({ path }) => path.includes('/role/'))).toEqual([])
    },
  )
})
