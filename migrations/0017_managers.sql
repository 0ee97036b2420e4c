-- Who of a company can help somebody else: few among many, and pages that refuse something name them.
-- Not by LIKE, for which SQLite takes capital letters for small ones.
CREATE INDEX people_managers ON people (company_id, name, id)
    WHERE disabled = 0 AND replace(roles, '"user_manager"', '') <> roles;
