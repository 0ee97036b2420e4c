//! My Profile, but for its passwords.

use super::words;

words! {
    about_you
        en "About you"
        es "Acerca de usted"
    signed_in_with
        en "Signed in with"
        es "Sesión iniciada con"
    proof_password
        en "password"
        es "contraseña"
    proof_code
        en "one-time code"
        es "código de un solo uso"
    proof_sms
        en "text message"
        es "mensaje de texto"
    proof_passkey
        en "passkey"
        es "llave de acceso"
    proof_device
        en "remembered device"
        es "dispositivo recordado"
    proof_factor
        en "second factor"
        es "segundo factor"
    proof_provider
        en "your company's sign-in"
        es "inicio de sesión de su empresa"

    second_factors
        en "Second factors"
        es "Segundos factores"
    no_factors_yet
        en "You have none yet."
        es "Usted todavía no tiene ninguno."
    replace
        en "Replace"
        es "Reemplazar"
    change
        en "Change"
        es "Cambiar"
    remove
        en "Remove"
        es "Quitar"
    remove_factor(name: &str)
        en "Remove: {name}"
        es "Quitar: {name}"
    last_factor_hint
        en "Your company asks for a second factor: the last one can be replaced, not removed."
        es "Su empresa pide un segundo factor: el último se puede reemplazar, pero no quitar."
    mfa_section
        en "Multi-factor authentication"
        es "Autenticación multifactor"

    where_you_are_signed_in
        en "Where you are signed in"
        es "Dónde tiene la sesión iniciada"
    sign_out_device(device: &str)
        en "Sign out: {device}"
        es "Cerrar sesión: {device}"
    and_more(count: impl std::fmt::Display)
        en "And {count} more."
        es "Y {count} más."
    sign_out_the_others
        en "Sign out the others"
        es "Cerrar las demás sesiones"
    sign_out_hint
        en "Ends your sign-in in every application of this browser."
        es "Cierra su sesión en todas las aplicaciones de este navegador."

    // What was done.
    device_signed_out
        en "That device is signed out."
        es "Se cerró la sesión de ese dispositivo."
    others_signed_out
        en "You are signed out everywhere but here."
        es "Su sesión se cerró en todas partes menos aquí."
    app_replaced
        en "Your new authenticator app is in use. The old one works no more."
        es "Su nueva aplicación de autenticación está en uso. La anterior ya no funciona."
    codes_set_up
        en "It is set up: you can log in with these codes from now on."
        es "Está configurado: desde ahora puede iniciar sesión con estos códigos."
    codes_moved
        en "Codes go to the new place from now on."
        es "Desde ahora los códigos se envían al nuevo destino."
    factor_removed
        en "The second factor is removed."
        es "El segundo factor se quitó."
    press_once_more
        en "Nothing was changed yet: please press the button once more."
        es "Todavía no se cambió nada: pulse el botón una vez más."
    changed_meanwhile
        en "That was changed meanwhile. Please look again."
        es "Eso cambió mientras tanto. Mírelo de nuevo."
    last_factor_stays
        en "Your company asks for a second factor: the last one can only be replaced."
        es "Su empresa pide un segundo factor: el último solo se puede reemplazar."
}
