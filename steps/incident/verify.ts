import { visible } from '../../src/errors.ts'
import type { Action } from './context.ts'

/** The report has what was found, whether it is good or not: what is red is for the person to mend, and the case goes on. */
export const verifyAgain: Action = {
  id: 'deployment.verify',
  title: 'Prove the deployment with every check',
  effect: 'reads',
  async run(ctx, signal) {
    const findings = await ctx.verify()
    // Checks that were stopped have found nothing: they are asked again when the case goes on.
    signal.throwIfAborted()
    const of = (verdict: string) => findings.filter(finding => finding.verdict === verdict)
    const [passed, failed, unknown] = [of('pass'), of('fail'), of('unknown')]
    const [unseen] = unknown
    const named = [...failed, ...unknown].map(({ check, verdict }) =>
      verdict === 'fail' ? check : `${check} (not seen)`,
    )
    return {
      saw: [
        `${passed.length} of ${findings.length} checks passed, ${failed.length} failed, ${unknown.length} could not look`,
        ...(named.length > 0 ? [named.join(', ')] : []),
      ].join(': '),
      facts: {
        ...{ passed: passed.length, failed: failed.length, unknown: unknown.length },
        ...(failed.length > 0 ? { failedChecks: failed.map(({ check }) => check).join(', ') } : {}),
        ...(unseen === undefined
          ? {}
          : {
              unknownChecks: unknown.map(({ check }) => check).join(', '),
              unknownBecause: visible(`${unseen.check}: ${unseen.evidence}`).slice(0, 300),
            }),
      },
    }
  },
}
