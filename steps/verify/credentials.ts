/** What providers' keys begin with, so that one under any name is known. */
const PREFIXES = /^(sk-|sk_live_|ghp_|github_pat_|glpat-|xox[abp]-|AIza|AKIA|hvs\.|ops_|eyJ)/

/**
 * Names of the variables that hold a credential: named like one, or with a value that begins like one. In a file, one
 * that is empty now gets its value from whoever starts it: `empty` counts it too.
 */
export function credentialsIn(
  environment: Readonly<Record<string, string>>,
  options: { empty: boolean } = { empty: false },
): string[] {
  return Object.entries(environment)
    .filter(
      ([name, value]) =>
        // A path says where a credential is; it is none.
        ((value !== '' || options.empty) && !/^[/.]/.test(value) && isCredentialName(name)) ||
        PREFIXES.test(value),
    )
    .map(([name]) => name)
}

export function isCredentialName(name: string): boolean {
  return /(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL|PRIVATE_?KEY)S?$/i.test(name)
}
