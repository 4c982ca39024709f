-- The tables that the functions work with, as a product has them. `make run SCHEMA=product.sql` loads a product's own.
create table organizations (
  id uuid primary key default gen_random_uuid(),
  name text,
  created_at timestamptz not null default now()
);

create table profiles (
  id uuid primary key,
  organization_id uuid references organizations (id),
  full_name text,
  email text,
  role text not null default 'member',
  created_at timestamptz not null default now()
);

create table messenger_integrations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null references organizations (id) on delete cascade,
  messenger_type text not null,
  provider text,
  name text,
  is_active boolean default true,
  is_primary boolean default false,
  webhook_key text unique,
  settings jsonb default '{}',
  created_at timestamptz not null default now(),
  updated_at timestamptz default now()
);
create index messenger_integrations_of_organization on messenger_integrations (organization_id);

alter table organizations enable row level security;
alter table profiles enable row level security;
alter table messenger_integrations enable row level security;
create policy "one's own profile" on profiles for select to authenticated using (id = auth.uid());
create policy "one's own organization" on organizations for select to authenticated
  using (id in (select organization_id from profiles where id = auth.uid()));
-- `settings` holds credentials: only the functions, which have the service key, see them.
revoke all on messenger_integrations from anon, authenticated;
