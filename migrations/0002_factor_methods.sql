-- Factors of further methods: a person has one number and one address for codes.
CREATE UNIQUE INDEX factors_one_sms ON factors (person_id) WHERE kind = 'sms';
CREATE UNIQUE INDEX factors_one_email ON factors (person_id) WHERE kind = 'email';

-- 1 on the factor that was added at a sign-in, to who had none: of several sign-ins that enrol at
-- once, with whatever methods, one adds its factor.
ALTER TABLE factors ADD COLUMN first BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX factors_one_first ON factors (person_id) WHERE first = 1;
