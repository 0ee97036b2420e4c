-- The number that a company's directory gave as a mobile one. Codes are for it: no number of another type
-- takes its place. Not a mark beside the number, which would outlive it where an import brings another.
ALTER TABLE scim_people ADD COLUMN mobile TEXT;
