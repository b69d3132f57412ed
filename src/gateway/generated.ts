import { generateToken, type Secret } from '../secret.ts'
import { GATEWAY_TOKEN, PROXY_PASSWORD } from './policy.ts'
import { SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY } from './sandbox.ts'
import { generateSshKey } from './ssh-key.ts'

/** The secrets that are made up here. Of all others somebody else has to know as well. */
const GENERATED = [GATEWAY_TOKEN, PROXY_PASSWORD, SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY]

export const isGenerated = (name: string): boolean => GENERATED.includes(name)

/** The keys by which the gateway and its sandbox know each other: no person ever needs to see one. */
export const isSandboxKey = (name: string): boolean => [SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY].includes(name)

/** A new value of a generated secret: 256 random bits, or an Ed25519 key. */
export function generateSecret(name: string): Secret {
  return isSandboxKey(name) ? generateSshKey(name) : generateToken()
}
