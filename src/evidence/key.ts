import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto'
import { resolve } from 'node:path'
import { ensureDirectory, readIfPresent, writeAtomic } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { ToolError } from '../errors.ts'
import { Secret } from '../secret.ts'

/** Says that bytes are as they were when the private half signed them. */
export interface VerifyingKey {
  /** `SHA256:` and the base64 of the SHA-256 of the key's SPKI DER. */
  fingerprint: string
  /** SPKI PEM. */
  pem: string
  /** Whether `signature` is the text of a signature file (base64, one line) over exactly these bytes. */
  fits(bytes: Uint8Array, signature: string): boolean
}

/** The deployment's own key, Ed25519: what it signs, {@link VerifyingKey} tells from anything else. */
export interface SigningKey extends VerifyingKey {
  /** The text of a signature file. */
  sign(bytes: Uint8Array): string
}

/** Where the public half lies. */
export function publicKeyOf({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'evidence.pub')
}

/** Makes the deployment's signing key if there is none, and returns the fingerprint of its public half. Errors: as {@link signingKey}. */
export function ensureSigningKey(layout: Pick<Layout, 'own'>): string {
  return signingKey(layout).fingerprint
}

/**
 * The deployment's signing key, made when there has never been one: `.secure/evidence.key` (PKCS#8, 0400) and its public half.
 * Errors: `evidence_key_missing` where only the public half is left: another key would not fit what was signed before;
 * `evidence_key_unreadable`.
 */
export function signingKey(layout: Pick<Layout, 'own'>): SigningKey {
  const path = resolve(layout.own, 'evidence.key')
  const published = readIfPresent(publicKeyOf(layout))
  let pem = readIfPresent(path)
  if (pem === undefined) {
    if (published !== undefined) throw missing(path)
    const made = generateKeyPairSync('ed25519').privateKey
    pem = made.export({ type: 'pkcs8', format: 'pem' }).toString()
    ensureDirectory(layout.own, 0o700)
    writeAtomic(path, new Secret(pem), 0o400)
  }
  const key = ed25519(pem, createPrivateKey)
  if (key === undefined)
    throw new ToolError(
      'evidence_key_unreadable',
      `${path} is no Ed25519 private key`,
      'Put it back from a backup. Without it, nothing more can be signed so that evidence.pub fits.',
    )
  const verifying = asVerifyingKey(createPublicKey(key))
  // The private half decides: the other one is only its copy.
  if (published !== verifying.pem) writeAtomic(publicKeyOf(layout), verifying.pem, 0o444)
  return { ...verifying, sign: bytes => `${sign(null, bytes, key).toString('base64')}\n` }
}

/** The public key in a PEM text; undefined when there is none of Ed25519. */
export function verifyingKey(pem: string): VerifyingKey | undefined {
  const key = /PRIVATE KEY/.test(pem) ? undefined : ed25519(pem, createPublicKey)
  return key === undefined ? undefined : asVerifyingKey(key)
}

function asVerifyingKey(key: KeyObject): VerifyingKey {
  const der = key.export({ type: 'spki', format: 'der' })
  return {
    fingerprint: `SHA256:${createHash('sha256').update(der).digest('base64')}`,
    pem: key.export({ type: 'spki', format: 'pem' }).toString(),
    fits(bytes, text) {
      const signature = Buffer.from(text, 'base64')
      // Base64 has bits that say nothing: only the one right way to write it down counts.
      return text === `${signature.toString('base64')}\n` && verify(null, bytes, key, signature)
    },
  }
}

function ed25519(pem: string, read: (pem: string) => KeyObject): KeyObject | undefined {
  try {
    const key = read(pem)
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    // Node's message quotes nothing, and says nothing either.
    return undefined
  }
}

function missing(path: string): ToolError {
  return new ToolError(
    'evidence_key_missing',
    `${path} is gone, and evidence.pub beside it is still there`,
    'Put it back from a backup. If it is lost, move evidence.pub to where the cases that it fits are kept: the next run makes a new pair.',
  )
}
