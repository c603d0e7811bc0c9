import { describe, expect, test } from '@jest/globals'
import { parseDatabaseUrl } from '../../src/database-url.ts'

describe('DATABASE_URL', () => {
  test.each([
    ['none', { kind: 'none' }],
    ['sqlite:./data/carillon.db', { kind: 'sqlite', path: './data/carillon.db' }],
    ['sqlite:/var/lib/carillon.db', { kind: 'sqlite', path: '/var/lib/carillon.db' }],
    ['sqlite:///var/lib/carillon.db', { kind: 'sqlite', path: '/var/lib/carillon.db' }],
    ['sqlite::memory:', { kind: 'sqlite', path: undefined }],
  ])('%s', (text, found) => {
    expect(parseDatabaseUrl(text)).toEqual(found)
  })

  test('of PostgreSQL, with every character in a password', () => {
    expect(
      parseDatabaseUrl(
        'postgres://me:p%40ss%3Aw%2Frd%25@db.example:6000/calls?sslmode=verify-full&sslrootcert=/ca.pem',
      ),
    ).toEqual({
      kind: 'postgres',
      host: 'db.example',
      port: 6000,
      database: 'calls',
      user: 'me',
      password: 'p@ss:w/rd%',
      ssl: 'verify-full',
      rootCertificate: '/ca.pem',
      plansAhead: true,
    })
  })

  test.each([
    ['postgresql://db/calls', { host: 'db', port: 5432, user: undefined, password: undefined, ssl: 'disable' }],
    ['postgres://me@[::1]:5433/calls', { host: '::1', port: 5433, user: 'me' }],
    ['postgres://db/calls?pgbouncer=true', { host: 'db', plansAhead: false }],
    ['postgres://db/calls?pgbouncer=false', { host: 'db', plansAhead: true }],
    ['postgres:///calls?host=/run/postgresql&port=5433', { host: '/run/postgresql', port: 5433, database: 'calls' }],
  ])('%s has what is usual where it says nothing', (text, found) => {
    expect(parseDatabaseUrl(text)).toMatchObject(found)
  })

  test.each([
    ['', /must be sqlite:<file>/],
    ['mysql://secret@db/calls', /must be sqlite:<file>/],
    ['sqlite:', /a file is missing/],
    ['sqlite://calls.db', /a file is missing/],
    ['sqlite:calls.db?mode=ro', /no parameters/],
    ['postgres://me:secret@db', /name of the database is missing/],
    ['postgres://me:sec/ret@db/calls', /not a URL|name of the database|no such port/],
    ['postgres://me:secret%@db/calls', /must be written as %25/],
    ['postgres://me:secret@db/calls?sslmode=prefer', /sslmode must be one of disable, require/],
    ['postgres://me:secret@db/calls?options=-c', /not options/],
    ['postgres://me:secret@db:99999/calls', /not a URL|no such port/],
    ['postgres://me:secret@db/calls?pgbouncer=1', /pgbouncer must be true or false/],
    ['postgres:///calls?port=none', /no such port/],
  ])('refuses %s, and does not repeat a password', (text, message) => {
    let said = ''
    try {
      parseDatabaseUrl(text)
    } catch (error) {
      said = (error as Error).message
    }
    expect(said).toMatch(message)
    expect(said).not.toMatch(/sec\/?ret/)
  })
})
