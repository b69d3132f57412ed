import type { Attack } from './attack.ts'
import { commandAttacks } from './commands.ts'
import { credentialAttacks } from './credentials.ts'
import { filesystemAttacks } from './filesystem.ts'
import { networkAttacks } from './network.ts'
import { privilegeAttacks } from './privileges.ts'
import { resourceAttacks } from './resources.ts'

/** All attacks, in the order of the seed's threats. */
export const attacks: readonly Attack[] = [
  ...credentialAttacks,
  ...filesystemAttacks,
  ...networkAttacks,
  ...commandAttacks,
  ...resourceAttacks,
  ...privilegeAttacks,
]
