import type { Answers } from './answers.ts'
import { haproxyCfg, squidConf } from './egress.ts'
import { render, verbatim } from './render.ts'

/** The files that the two at the border read, by name. Without a filter there are none for the proxy. */
export function borderFiles(answers: Answers): {
  'haproxy.cfg': string
  'squid.conf'?: string
  'is-open'?: string
} {
  return {
    'haproxy.cfg': render('border/haproxy.cfg.hbs', haproxyCfg(answers), 'text'),
    ...(answers.egress === 'closed'
      ? {
          'squid.conf': render('border/squid.conf.hbs', squidConf(answers), 'text'),
          'is-open': verbatim('border/is-open'),
        }
      : {}),
  }
}
