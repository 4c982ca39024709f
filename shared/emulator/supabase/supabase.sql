-- What a Supabase has before any table of the product: its roles, auth.users, and the functions that policies call.
-- The roles belong to the whole server, where they may be already.
do $$
declare
  wanted text;
begin
  foreach wanted in array array[
    'anon nologin', 'authenticated nologin', 'service_role nologin bypassrls', 'authenticator nologin noinherit',
    'supabase_admin nologin', 'supabase_auth_admin nologin', 'dashboard_user nologin'
  ] loop
    begin
      execute 'create role ' || wanted;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
end $$;

grant anon, authenticated, service_role to authenticator;

create schema auth;
create schema extensions;
grant usage on schema public, auth, extensions to anon, authenticated, service_role;

create table auth.users (
  id uuid primary key,
  email text,
  raw_user_meta_data jsonb default '{}',
  raw_app_meta_data jsonb default '{}',
  created_at timestamptz default now()
);

create function auth.jwt() returns jsonb language sql stable as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;
create function auth.uid() returns uuid language sql stable as $$ select (auth.jwt() ->> 'sub')::uuid $$;
create function auth.role() returns text language sql stable as $$ select auth.jwt() ->> 'role' $$;
create function auth.email() returns text language sql stable as $$ select auth.jwt() ->> 'email' $$;

-- Two extensions that many schemas create, and no wheel has: what is usually called of them.
create function extensions.uuid_generate_v4() returns uuid language sql volatile as 'select gen_random_uuid()';
create function extensions.gen_random_bytes(count int) returns bytea language sql volatile as $$
  select substring(string_agg(uuid_send(gen_random_uuid()), '') from 1 for count) from generate_series(0, count / 16)
$$;

create publication supabase_realtime;

-- Everything in public belongs to everybody until row-level security, or the product, says otherwise.
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on routines to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
